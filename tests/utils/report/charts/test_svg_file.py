"""Charts as files: whole on their own, with the marks that the page has."""

from xml.etree import ElementTree

from utils.report.charts.series_charts import bar_area, line_area
from utils.report.charts.svg_file import svg_file

SVG = "{http://www.w3.org/2000/svg}"


def test_a_file_needs_nothing_else_and_has_the_marks_of_the_page() -> None:
    area = bar_area("Scores & more", {"right": [1.0, 2.0], "wrong": [2.0, 1.0]}, x_label="score")
    text = svg_file(area.title, [area])
    root = ElementTree.fromstring(text)
    assert area.svg() in text
    assert "--s0" in (root.findtext(f"{SVG}style") or "")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    words = [element.text for element in root.iter(f"{SVG}text")]
    assert {"Scores & more", "right", "wrong", "score"} <= set(words)


def test_panels_stand_side_by_side_under_one_legend() -> None:
    panels = [line_area(name, [0, 1], {"t = 1": [0.0, 1.0]}) for name in ("loss", "slope")]
    known = [panel for panel in panels if panel is not None]
    root = ElementTree.fromstring(svg_file("focal", known))
    assert root.attrib["width"] == str(sum(panel.width for panel in known))
    places = [group.attrib["transform"] for group in root.findall(f"{SVG}g")]
    assert places == ["translate(0 66)", f"translate({known[0].width} 66)"]
    words = [element.text for element in root.findall(f"{SVG}text")]
    assert words == ["focal", "t = 1", "loss", "slope"]
