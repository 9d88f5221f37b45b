import csv
from pathlib import Path

import pytest

from data.formats.label_report import COLUMNS, Action, LabelReport, decide, write_csv
from utils.runtime.errors import UserError


def report(*decisions: tuple[str, Action], num_rows: int = 100) -> LabelReport:
    rows = [
        decide(f"/d/labels/{index}.txt", f"line {index}", "raw", reason, action)
        for index, (reason, action) in enumerate(decisions)
    ]
    return LabelReport(
        split="train",
        decisions=tuple(rows),
        num_rows=num_rows,
        num_rejected=sum(row.action == "rejected" for row in rows),
        num_ignored=3,
        num_images=10,
        num_background=2,
        num_unlabelled=1,
        num_left_out=4,
    )


def test_csv_holds_every_decision(tmp_path: Path) -> None:
    path = tmp_path / "new" / "labels_report.csv"
    some = decide("/d/a,b.txt", "line 3", '0 "x"\n', "not a number", "rejected")
    odd = decide("/d/\udcff.txt", "file", "", "label file without image", "noted")
    LabelReport(
        split="train",
        decisions=(some, odd),
        num_rows=1,
        num_rejected=1,
        num_ignored=0,
        num_images=1,
        num_background=0,
        num_unlabelled=0,
        num_left_out=0,
    ).write_csv(path)
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        list(COLUMNS),
        ["/d/a,b.txt", "line 3", '0 "x"\\n', "not a number", "rejected"],
        ["/d/\\xff.txt", "file", "", "label file without image", "noted"],
    ]


def test_csv_of_several_splits_has_one_header(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    write_csv(path, (report(("a", "noted")), report(), report(("b", "noted"))))
    lines = path.read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert [line.split(",")[3] for line in lines[1:]] == ["a", "b"]


def test_long_value_is_cut() -> None:
    assert decide("f", "line 1", "x" * 10_000, "r", "noted").value == "x" * 200 + "..."


def test_summary_counts_by_reason_worst_first_with_the_first_example() -> None:
    lines = report(("b", "noted"), ("a", "rejected"), ("c", "rejected"), ("c", "rejected")).summary(
        "out.csv"
    )
    assert lines == [
        "train: 10 images (2 without objects, 1 without label file), 4 left out; "
        "97 of 100 label rows used, 3 of them to be ignored",
        "  rejected 2: c, e.g. 2.txt line 2: raw",
        "  rejected 1: a, e.g. 1.txt line 1: raw",
        "  noted 1: b, e.g. 0.txt line 0: raw",
        "  every decision: out.csv",
    ]


def test_summary_stays_short() -> None:
    lines = report(*((f"reason {index}", "rejected") for index in range(40))).summary()
    assert len(lines) == 8
    assert lines[-1] == "  rejected 34: 34 more reasons"


def test_summary_without_decisions_is_one_line() -> None:
    assert len(report().summary("out.csv")) == 1


@pytest.mark.parametrize(("max_rejected", "refuses"), [(0.01, True), (0.02, False), (1.0, False)])
def test_share_of_rejected_rows(max_rejected: float, refuses: bool) -> None:
    labels = report(("a", "rejected"), ("b", "rejected"), ("c", "repaired"), num_rows=100)
    if not refuses:
        labels.require_usable(max_rejected)
        return
    with pytest.raises(UserError) as caught:
        labels.require_usable(max_rejected)
    assert str(caught.value) == (
        "train: 2 of 100 label rows (2.0%) cannot be used, more than data.max_rejected = 0.01 "
        "allows: 1 x a (0.txt line 0), 1 x b (1.txt line 1); fix them, or set "
        "data.max_rejected=0.02 to train without them"
    )


def test_share_named_in_the_error_is_enough() -> None:
    labels = report(("a", "rejected"), num_rows=3)
    with pytest.raises(UserError, match=r"data\.max_rejected=0\.334 to"):
        labels.require_usable(0.3)
    labels.require_usable(0.334)


def test_no_rows_are_usable() -> None:
    report(num_rows=0).require_usable(0.0)
