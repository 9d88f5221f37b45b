"""What a reader is warned of, and that nothing is said where all is well."""

from dataclasses import replace

import pytest

from tests.utils.comparison.stored_runs import write_comparison
from utils.comparison.runs.run_record import RunRecord, read_run
from utils.comparison.summary.controls import cautions, controls

Runs = dict[str, dict[int, RunRecord]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = write_comparison(
        tmp_path_factory.mktemp("controls"), qualities={"a": 0.5, "b": 0.5}, seeds=[0], images=3
    )
    return {
        arm: {0: read_run(arm, 0, folder / "runs" / arm / "seed0", network="n")}
        for arm in ("a", "b")
    }


def changed(runs: Runs, arm: str, **changes: object) -> Runs:
    return {**runs, arm: {0: replace(runs[arm][0], **changes)}}


def with_counts(runs: Runs, arm: str, images: int, at_cap: int) -> Runs:
    test = runs[arm][0].test
    counts = {"images": images, "images_at_detection_cap": at_cap, "images_at_candidate_cap": 0}
    return changed(runs, arm, test=replace(test, result={**test.result, "counts": counts}))


def test_a_clean_comparison_warns_of_nothing(runs: Runs) -> None:
    clean = with_counts(with_counts(runs, "a", 1000, 10), "b", 1000, 0)
    assert cautions(clean) == []


def test_limits_that_decide_are_named_with_arm_and_key(runs: Runs) -> None:
    (line,) = cautions(with_counts(with_counts(runs, "a", 1000, 11), "b", 1000, 0))
    assert "eval.max_detections" in line
    assert "(a 1%)" in line


def test_batches_left_out_are_counted(runs: Runs) -> None:
    clean = with_counts(with_counts(runs, "a", 9, 0), "b", 9, 0)
    lines = cautions(changed(clean, "b", results={"batches_left_out": 3}))
    assert lines == ["b: 3 training batches were left out, their loss was not finite."]


def test_mixed_machines_and_programs_are_told(runs: Runs) -> None:
    clean = with_counts(with_counts(runs, "a", 9, 0), "b", 9, 0)
    other = {"git": "fedcba", "packages": {"torch": "2.7"}, "gpus": ["H100"]}
    lines = cautions(changed(clean, "b", environment=other))
    assert [line.split("different ")[1].split(":")[0] for line in lines] == [
        "commits", "versions of torch", "devices",
    ]  # fmt: skip


def test_controls_have_a_row_a_run(runs: Runs) -> None:
    scale = {"objectness": {"at_start": 2.0, "after_warmup": 1.23456}}
    rows = controls(changed(runs, "b", scale=scale))
    assert [(row["arm"], row["seed"]) for row in rows] == [("a", 0), ("b", 0)]
    assert rows[0]["scale"] == {}
    assert rows[1]["scale"] == {"objectness": 1.2346}
    assert rows[1]["scale_at_start"] == {"objectness": 2.0}
