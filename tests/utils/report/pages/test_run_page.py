"""The page of a run: whole at every stage, silent where nothing is known."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.utils.report.tables.test_tables import RESULT
from utils.report.pages.data_page import ClassRow
from utils.report.pages.page_template import Figure
from utils.report.pages.run_page import DataSection, RunPage, course_charts, run_page_text

ROW = {
    "epoch": 1.0, "step": 4.0, "lr": 0.1, "box": 0.5, "objectness": 0.4, "foreground": 3.0,
    "images_per_second": 9.0, "seconds": 2.0, "map50_95": 0.1, "map50": 0.2, "map75": 0.1,
    "precision": 0.3, "recall": 0.4,
}  # fmt: skip
EMPTY = dict.fromkeys(("map50_95", "map50", "map75", "precision", "recall"))
PAGE = RunPage(
    title="x: net & <data>",
    state="Running: epoch 1 of 3 is done",
    is_live=True,
    result=RESULT,
    class_names=("cat", "unicorn"),
    history=[ROW, {**ROW, "epoch": 2.0, **EMPTY}, {**ROW, "epoch": 3.0, "map50": 0.4}],
    facts={"device": "CPU"},
    notes=["1 label row of val was rejected"],
    commands=["python train.py --cfg x.yaml"],
    config_text="train: {epochs: 3}",
)


def test_a_running_page_reads_itself_again_and_a_finished_one_does_not() -> None:
    assert '<meta http-equiv="refresh"' in run_page_text(PAGE)
    assert "refresh" not in run_page_text(replace(PAGE, is_live=False))


def test_it_is_one_file_with_every_number() -> None:
    data = DataSection(
        split_names=["train", "val"],
        class_rows=[ClassRow(name="cat", counts=[1200, 3]), ClassRow(name="dog", counts=[7, 0])],
        charts=["<figure>sizes</figure>"],
        maps=[],
        sheets=[("train", [Figure(source="data:image/jpeg;base64,AA", caption="a.jpg")])],
    )
    text = run_page_text(
        replace(
            PAGE,
            data=data,
            curves=["<figure>curve</figure>"],
            files=[("best.safetensors", "7.1 MB", "weights"), ("a b.csv", "1.0 kB", "odd")],
            steps=[("Predict", "python predict.py --weights runs/x --source photos/")],
            figures=[Figure(source="data:image/jpeg;base64,AA", caption="b.jpg")],
        )
    )
    assert not re.search(r'(src|href)="(https?:)?//', text)
    assert "net &amp; &lt;data&gt;" in text
    for said in (
        "<b>0.432</b>", "1,200", "width:100.0%", "<figure>sizes</figure>", "<figure>curve</figure>",
        'href="best.safetensors"', 'href="a%20b.csv"', "predict.py --weights runs/x", "device: CPU",
        "1 label row of val", "train.py --cfg x.yaml", '<th scope="row">unicorn</th>', "7.1 MB",
    ):  # fmt: skip
        assert said in text
    assert 'class="sortable"' in text
    ElementTree.fromstring(
        re.sub(r"<(meta|link|img|!doctype)[^>]*>", "", text.partition("<body>")[2])
        .join(("<body>", ""))
        .replace("</html>", "")
        .partition("<script>")[0]
        + "</body>"
    )


@pytest.mark.parametrize("history", [[], [ROW], [{**ROW, **EMPTY}]])
def test_little_is_known_at_the_beginning(history: list[dict[str, float | None]]) -> None:
    text = run_page_text(replace(PAGE, result=None, notes=[], history=history))
    assert "Confusion" not in text
    assert "nan" not in text.partition("<script>")[0]


def test_charts_pass_over_epochs_without_evaluation() -> None:
    charts = course_charts(PAGE.history)
    titles = [re.findall(r"<figcaption>([^<]*)", chart)[0] for chart in charts]
    assert titles == [
        "Validation AP", "Training loss", "Loss and AP, share of the highest", "At the best F1",
        "Learning rate", "Images per second",
    ]  # fmt: skip
    assert charts[0].count("<polyline") == 2
    assert "AP50 from 0.2 to 0.4" in charts[0]
    assert "box loss from 1 to 1" in charts[2]
    without = course_charts([{**row, **EMPTY} for row in PAGE.history])
    assert [re.findall(r"<figcaption>([^<]*)", chart)[0] for chart in without] == [
        titles[1], titles[4], titles[5],
    ]  # fmt: skip


def test_the_loss_on_validation_images_stands_beside_that_of_training() -> None:
    history = [
        {**row, "val_box": box, "val_objectness": 0.25}
        for row, box in zip(PAGE.history, (0.5, None, 0.75), strict=True)
    ]
    charts = course_charts(history)
    titles = [re.findall(r"<figcaption>([^<]*)", chart)[0] for chart in charts]
    assert titles[1:4] == ["Loss, sum of its terms", "Training loss", "Validation loss"]
    assert "training from 0.9 to 0.9; validation from 0.75 to 1" in charts[1]
    assert "box from 0.5 to 0.75; objectness from 0.25 to 0.25" in charts[3]
    assert "val_" not in "".join(charts)
    unmeasured = [{**row, "val_box": None} for row in PAGE.history]
    assert len(course_charts(unmeasured)) == len(course_charts(PAGE.history))
    unvalidated = course_charts([{**row, **EMPTY} for row in history])
    assert len(unvalidated) == 5
