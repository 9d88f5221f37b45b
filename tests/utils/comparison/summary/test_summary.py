"""The whole analysis on stored detections: recomputed by hand, repeatable, honest about equals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands.compare.run import report
from tests.utils.comparison.stored_runs import write_comparison
from utils.comparison.runs.stored_evaluation import read_judged
from utils.comparison.summary.class_differences import ClassDifference, frequency_correlation
from utils.comparison.summary.plots import best_of
from utils.comparison.summary.run_numbers import METRICS
from utils.metrics.coco_ap import JUDGES
from utils.runtime.errors import UserError

pytestmark = pytest.mark.slow


QUALITIES = {"bce": 0.6, "x": 0.7}


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("stored") / "cmp"
    write_comparison(folder, qualities={"bce": 0.6, "same": 0.6, "much": 0.9}, images=25)
    return folder, report(folder)


def judged_map(folder: Path, arm: str, seed: int) -> float:
    split = read_judged(folder / "runs" / arm / f"seed{seed}", "test")
    return 100 * float(JUDGES["pycocotools"](split.truths, split.detections).stats[0])


def test_differences_are_those_of_pycocotools(comparison: tuple[Path, dict[str, Any]]) -> None:
    folder, content = comparison
    arm = content["arms"]["much"]
    for seed in range(6):
        by_hand = judged_map(folder, "much", seed) - judged_map(folder, "bce", seed)
        assert arm["deltas"][str(seed)] == pytest.approx(by_hand, abs=1e-7)
    assert arm["delta"] == pytest.approx(np.mean(list(arm["deltas"].values())))
    assert arm["interval"][0] < arm["delta"] < arm["interval"][1]
    assert arm["numbers"]["map50_95"]["delta"] == pytest.approx(arm["delta"], abs=1e-7)


def test_verdicts_use_the_four_words(comparison: tuple[Path, dict[str, Any]]) -> None:
    _, content = comparison
    words = {name: arm["verdict"] for name, arm in content["arms"].items()}
    assert words["bce"] == "baseline"
    assert words["same"] == "equivalent"
    assert words["much"] in ("better", "inconclusive")
    assert content["arms"]["same"]["interval"] == [0.0, 0.0]
    sentence = content["arms"]["much"]["sentence"]
    for part in ("mAP50-95", "things", "yolov5n", "3 epochs", "gains as they are", "6 seeds"):
        assert part in sentence


def test_holm_multiplies_what_stands_alone(comparison: tuple[Path, dict[str, Any]]) -> None:
    arm = comparison[1]["arms"]["much"]
    assert arm["p_uncorrected"] == pytest.approx(2 / 64)
    assert arm["p"] == pytest.approx(4 / 64)


def test_every_metric_is_there_and_the_json_has_no_nan(
    comparison: tuple[Path, dict[str, Any]],
) -> None:
    folder, content = comparison
    for arm in content["arms"].values():
        assert set(arm["numbers"]) == {metric.key for metric in METRICS}
    assert content["arms"]["bce"]["numbers"]["d_ece_inverse"]["mean"] is None
    assert content["arms"]["much"]["numbers"]["d_ece_inverse"]["mean"] is not None
    text = (folder / "comparison.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["arms"]["much"]["delta"] == content["arms"]["much"]["delta"]


def test_reporting_again_changes_no_byte(comparison: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = comparison
    before = {name: (folder / name).read_bytes() for name in ("comparison.json", "report.html")}
    report(folder)
    assert before == {name: (folder / name).read_bytes() for name in before}


def test_lost_runs_shrink_the_comparison_and_are_named(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c", qualities=QUALITIES, images=8)
    (folder / "runs/x/seed2/judged/test.json").unlink()
    (folder / "failures").mkdir()
    failure = {"title": "x seed 2", "message": "error: diverged", "exit_code": 2}
    (folder / "failures/x-seed2.json").write_text(json.dumps(failure))
    content = report(folder)
    assert list(content["arms"]["x"]["deltas"]) == ["0", "1", "3", "4", "5"]
    assert any("x seed 2" in line for line in content["would_change"])
    assert "diverged" in (folder / "report.html").read_text()


def test_too_little_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no design\.json"):
        report(tmp_path)
    folder = write_comparison(
        tmp_path / "c", qualities={"bce": 0.6, "x": 0.7}, seeds=(0,), images=4
    )
    (folder / "runs/x/seed0/judged/test.npz").write_bytes(b"no zip")
    with pytest.raises(UserError, match="evaluates the run again"):
        report(folder)
    (folder / "runs/x/seed0/judged/test.json").unlink()
    with pytest.raises(UserError, match="no arm has a finished run"):
        report(folder)
    (folder / "runs/bce/seed0/judged/test.json").unlink()
    with pytest.raises(UserError, match="the baseline bce has no finished run"):
        report(folder)


def test_one_seed_reports_and_decides_nothing(tmp_path: Path) -> None:
    folder = write_comparison(tmp_path / "c", qualities={"a": 0.3, "b": 0.9}, seeds=(4,), images=9)
    content = report(folder)
    assert content["arms"]["b"]["verdict"] == "inconclusive"


def test_expected_best_of_trials_by_enumeration() -> None:
    from itertools import combinations

    values = [3.0, 1.0, 4.0, 1.5]
    for count, expected in enumerate(best_of(values), start=1):
        draws = [max(draw) for draw in combinations(values, count)]
        assert expected == pytest.approx(sum(draws) / len(draws))


def test_rare_classes_that_gain_give_a_negative_correlation() -> None:
    def one(delta: float, objects: int | None) -> ClassDifference:
        return ClassDifference(
            name="x",
            delta=delta,
            low=0,
            high=0,
            p=1,
            is_discovery=False,
            train_objects=objects,
            test_objects=1,
        )

    assert frequency_correlation([one(3, 10), one(2, 100), one(1, 1000)]) == pytest.approx(-1)
    assert frequency_correlation([one(1, 10), one(1, 100), one(1, 1000)]) is None
    assert frequency_correlation([one(3, 10), one(2, None), one(1, 1000)]) is None
