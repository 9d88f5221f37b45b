"""The page and tables of an evaluation: every number in its place, for few and many classes."""

import re
from pathlib import Path

import pytest

from tests.utils.metrics.problems import Problem, detections, random_problem, record
from utils.metrics.analysis import Analysis, analyse
from utils.report.charts.evaluation_charts import NAMED, confusion_chart, evaluation_charts
from utils.report.pages.evaluation_page import (
    EvaluationPage,
    largest_confusions,
    write_evaluation_page,
)
from utils.report.pages.page_template import LARGEST_TABLE, Figure
from utils.report.tables.tables import threshold_table
from utils.structures.results import EvalResult


def evaluated(problem: Problem) -> tuple[EvalResult, Analysis, list[str]]:
    evaluator = problem.evaluator(threshold=0.3)
    result = evaluator.compute()
    analysis = analyse(
        evaluator.truths,
        evaluator.detections,
        judge="hotcoco",
        threshold=0.3,
        shared_threshold=result.operating_points["best_f1"]["threshold"],
    )
    return result, analysis, list(result.per_class)


def page_text(problem: Problem, path: Path) -> str:
    result, analysis, names = evaluated(problem)
    page = EvaluationPage(
        title="best <1>",
        command="python val.py --weights 'a&b'",
        facts={"data": "val"},
        result=result,
        analysis=analysis,
        class_names=names,
        worst={"missed": [("a.jpg", 3)], "false": [], "misplaced": []},
        figures=[Figure(source="data:image/jpeg;base64,AA", caption="a.jpg: 3 missed")],
    )
    write_evaluation_page(path, page)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("num_classes", [1, 3, LARGEST_TABLE + 1])
def test_page_needs_nothing_and_says_everything(num_classes: int, tmp_path: Path) -> None:
    problem = random_problem(3, num_images=8, per_image=6, num_classes=num_classes)
    text = page_text(problem, tmp_path / "index.html")
    assert not re.search(r'(src|href)="(https?:)?//', text)
    assert "best &lt;1&gt;" in text
    assert "a&amp;b" in text
    result, _, names = evaluated(problem)
    assert f"<b>{result.map50_95:.3f}</b>" in text
    assert all(f'<th scope="row">{name}</th>' in text for name in names)
    assert "a.jpg: 3</li>" in text
    is_table = num_classes <= LARGEST_TABLE
    assert text.count("<figure>") == 6 + 1 + (not is_table)
    assert ('<th scope="row">background</th>' in text) == is_table
    assert ("background found" in text) != is_table


def test_many_classes_are_drawn_alike_and_few_are_named() -> None:
    _, analysis, names = evaluated(random_problem(3, num_images=9, per_image=6, num_classes=4))
    charts = evaluation_charts(analysis, names)
    assert all(name in charts["pr"].figure() for name in names)
    _, analysis, names = evaluated(
        random_problem(3, num_images=30, per_image=9, num_classes=NAMED + 2)
    )
    charts = evaluation_charts(analysis, names)
    assert f"{NAMED + 2} classes" in charts["pr"].figure()
    assert names[0] not in charts["pr"].figure()


@pytest.mark.parametrize(
    "problem",
    [
        Problem(truths=[], found=[], num_classes=1),
        Problem(truths=[record(1, [(0, 0, 9, 9)], [0])], found=[detections()], num_classes=2),
    ],
    ids=["nothing", "nothing found"],
)
def test_nothing_to_show(problem: Problem, tmp_path: Path) -> None:
    assert "nan" not in page_text(problem, tmp_path / "index.html")
    _, analysis, names = evaluated(problem)
    assert threshold_table(analysis, names).startswith("class, IoU 0.50")


def test_confusions_come_by_their_number_without_background() -> None:
    confusion = [[5, 1, 4], [3, 0, 1], [7, 7, 0]]
    found = largest_confusions(confusion, ["a", "b", "background"])
    assert [(one["true"], one["found"], one["count"]) for one in found] == [
        ("b", "a", 3),
        ("a", "b", 1),
    ]
    assert found[0]["share"] == 0.75
    assert largest_confusions([[0, 0], [0, 0]], ["a", "background"]) == []


def test_thresholds_by_pencil() -> None:
    """Class 0 is right at .9 and wrong at .4; class 1 has one object that nothing finds."""
    box, far = (10.0, 10.0, 50.0, 50.0), (200.0, 200.0, 240.0, 240.0)
    problem = Problem(
        truths=[record(1, [box, far], [0, 1])],
        found=[detections([box, far], [0.9, 0.4], [0, 0])],
        num_classes=2,
    )
    _, analysis, _ = evaluated(problem)
    lines = threshold_table(analysis, ["cat", "dog"]).splitlines()
    cells = [re.split(r"\s{2,}", line) for line in lines[1:3]]
    assert cells[0] == ["cat", "1", "0.900", "0.900 to 0.900", "1.000", "1.000", "1.000", "1.000"]
    assert cells[1] == ["dog", "1", "-", "-", "-", "-", "-", "0.000"]
    assert "Mean F1 over classes: 0.500 with a threshold each, 0.500 with 0.900" in lines[4]


@pytest.mark.parametrize("num_classes", [1, 3, 40, 90])
def test_the_confusion_map_has_a_cell_for_every_pair_that_occurs(num_classes: int) -> None:
    confusion = [[0] * (num_classes + 1) for _ in range(num_classes + 1)]
    confusion[0][0], confusion[0][-1], confusion[-1][0] = 6, 2, 3
    names = [*(f"class {label}" for label in range(num_classes)), "background"]
    area = confusion_chart(confusion, names)
    assert max(area.width, area.height) <= 720
    text = area.figure()
    assert text.count('class="heat"') == 3
    assert "class 0 found as background: 2 of 8" in text
    assert ("class 0</text>" in text) == (num_classes < 40)


def test_half_characters_of_file_and_class_names_are_escaped(tmp_path: Path) -> None:
    """Names that are no UTF-8 come so out of the system."""
    problem = random_problem(3, num_images=3, per_image=2, num_classes=2)
    result, analysis, names = evaluated(problem)
    page = EvaluationPage(
        title="\udce9.safetensors",
        command="x",
        facts={"data": "\ud800"},
        result=result,
        analysis=analysis,
        class_names=names,
        worst={"missed": [("\udce91.jpg", 3)], "false": [], "misplaced": []},
        figures=[Figure(source="data:image/jpeg;base64,AA", caption="\udce91.jpg")],
    )
    write_evaluation_page(tmp_path / "page.html", page)
    assert "\\udce91.jpg" in (tmp_path / "page.html").read_text(encoding="utf-8")
