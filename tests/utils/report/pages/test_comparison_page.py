"""The page of a comparison: complete in one file, read by people, programs and a browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from commands.compare.run import report
from tests.utils.comparison.stored_runs import write_comparison
from utils.report.tables.tables import power_table

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


class Page(HTMLParser):
    """Collects tags and checks that they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "br"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    paths = [str(root / f"{number}.png") for number in range(12)]
    for path in paths:
        cv2.imwrite(path, np.full((300, 400, 3), 90, np.uint8))
    return write_comparison(
        root / "cmp", qualities={"bce": 0.6, "focal_v5": 0.8}, images=12, paths=paths
    )


@pytest.fixture(scope="module")
def content(folder: Path) -> dict[str, Any]:
    return report(folder)


@pytest.fixture(scope="module")
def page(folder: Path, content: dict[str, Any]) -> Page:
    return Page((folder / "report.html").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_it_needs_no_other_file_and_no_network(folder: Path, page: Page) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"(?!data:|#)", text)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert len(page.all("img")) == 6
    assert all(
        (image["src"] or "").startswith("data:image/jpeg;base64,") for image in page.all("img")
    )


def test_the_verdict_comes_first(folder: Path, content: dict[str, Any]) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert text.index("<h1>Against bce") < text.index("<table") < text.index("<svg")
    assert content["verdict"].startswith("Against bce, ")


def test_names_are_text_and_never_markup(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "man&<b>" not in text
    assert "man&amp;&lt;b&gt;" in text


def test_pictures_and_tables_have_words(page: Page) -> None:
    assert all(image["alt"] for image in page.all("img"))
    charts = [svg for svg in page.all("svg") if svg.get("role") == "img"]
    assert len(charts) == len(page.all("svg")) >= 8
    assert all(len(svg["aria-label"] or "") > 20 for svg in charts)
    assert all(cell.get("scope") in ("col", "row") for cell in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"


def test_every_number_of_the_table_is_in_the_json(folder: Path, content: dict[str, Any]) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    arm = content["arms"]["focal_v5"]
    for value in (arm["delta"], *arm["interval"]):
        assert f"{value:+.2f}" in text
    for metric in content["metrics"]:
        means = [arm["numbers"][metric["key"]]["mean"] for arm in content["arms"].values()]
        assert (f">{metric['label']}" in text) == any(mean is not None for mean in means)
    stored = json.loads((folder / "comparison.json").read_text())
    assert stored["arms"]["focal_v5"]["plots"] == content["arms"]["focal_v5"]["plots"]


CHECK = """
<script>
window.addEventListener("load", () => {
  const broken = [...document.images].filter(image => !image.naturalWidth).length;
  const table = document.querySelector("table.sortable");
  const button = table.querySelectorAll("button")[2];
  const values = () => [...table.tBodies[0].rows].map(r => parseFloat(r.cells[2].textContent));
  button.click(); const rising = values(); button.click(); const falling = values();
  const found = {broken, images: document.images.length, rising, falling, errors,
    sort: table.tHead.rows[0].cells[2].getAttribute("aria-sort"),
    wide: document.documentElement.scrollWidth > window.innerWidth};
  document.documentElement.setAttribute("data-checked", JSON.stringify(found));
});
</script>
"""
CATCH = """
<script>const errors = [];
window.addEventListener("error", e => errors.push(e.message));</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_shows_it_without_error(
    folder: Path, content: dict[str, Any], tmp_path: Path, width: int
) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    checked = tmp_path / "checked.html"
    text = text.replace('loading="lazy"', "")
    checked.write_text(
        text.replace("<head>", "<head>" + CATCH).replace("</body>", CHECK + "</body>")
    )
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--virtual-time-budget=8000",
            f"--window-size={width},900",
            "--dump-dom",
            checked.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    said = re.search(r'data-checked="([^"]*)"', done.stdout)
    assert said is not None
    found = json.loads(said.group(1).replace("&quot;", '"'))
    assert found["errors"] == []
    assert (found["broken"], found["images"]) == (0, 6)
    assert found["rising"] == sorted(found["rising"])
    assert found["falling"] == found["rising"][::-1]
    assert found["sort"] == "descending"
    assert not found["wide"]


def test_power_is_a_table_that_says_never() -> None:
    from utils.comparison.statistics.power import Design, power

    text = power_table([power(Design(sd=0.8, margin=0.5), seeds) for seeds in (5, 6)], 0.5)
    rows = text.splitlines()
    assert rows[1].split()[:2] == ["5", "never"]
    assert rows[2].split()[2] == "points"
