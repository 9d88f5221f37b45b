"""The numbers of one run that stand beside its mAP."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from utils.comparison.runs.run_record import RunRecord
from utils.comparison.runs.stored_evaluation import JudgedSplit
from utils.comparison.statistics.rank_correlation import rank_correlation
from utils.metrics.calibration import calibration
from utils.metrics.coco_ap import JUDGES
from utils.metrics.error_types import KINDS, error_types
from utils.metrics.operating_points import false_alarms_at_recall, recall_at_false_alarms
from utils.metrics.optimal_lrp import optimal_lrp
from utils.metrics.recalibration import fit_isotonic, undo_focal
from utils.metrics.rows import Floats
from utils.metrics.scored import ScoredDetections, scored_detections

SCORE_FLOOR = 0.05
"""Detections below it take no part in calibration: thousands of them would be all one sees."""
NEAR_FINAL = 0.95
Numbers = dict[str, float | None]
POINTS = 100.0


@dataclass(frozen=True, slots=True)
class Metric:
    """A number of a run, for people."""

    key: str
    label: str
    better: Literal["higher", "lower", ""] = "higher"
    group: str = "accuracy"


METRICS = (
    Metric("map50_95", "mAP50-95"),
    Metric("map50", "AP50"),
    Metric("map75", "AP75"),
    Metric("ap_small", "AP small"),
    Metric("ap_medium", "AP medium"),
    Metric("ap_large", "AP large"),
    Metric("ar_1", "AR, 1 per class"),
    Metric("ar_10", "AR, 10 per class"),
    Metric("ar_100", "AR, 100 per class"),
    Metric("olrp", "optimal LRP error", "lower"),
    Metric("olrp_threshold", "score at optimal LRP", ""),
    Metric("false_alarms", "false alarms per image at matched recall", "lower"),
    Metric("recall_at_0.1", "recall at 0.1 false alarms per image"),
    Metric("recall_at_1", "recall at 1 false alarm per image"),
    *(
        Metric(f"tide_{kind.lower()}", f"AP50 lost to {name}", "lower", "errors")
        for kind, name in zip(
            KINDS,
            ("wrong class", "wrong place", "both", "duplicates", "background", "misses"),
            strict=True,
        )
    ),
    *(
        Metric(f"{error}_{scores}", f"{label}, {scores} scores", "lower", "calibration")
        for error, label in (("d_ece", "D-ECE"), ("la_ece", "LaECE"), ("brier", "Brier"))
        for scores in ("raw", "isotonic", "inverse")
    ),
    Metric("d_ece_adaptive", "D-ECE, raw, bins of equal counts", "lower", "calibration"),
    Metric("d_ece_at_olrp", "D-ECE, raw, from the score of optimal LRP", "lower", "calibration"),
    Metric("map_isotonic", "mAP50-95 after isotonic regression", "higher", "calibration"),
    Metric("score_overlap", "rank correlation of score and IoU", "higher", "calibration"),
    Metric("seconds_per_epoch", "training seconds per epoch", "lower", "cost"),
    Metric("images_per_second", "training images per second", "higher", "cost"),
    Metric("epochs", "epochs trained", "", "cost"),
    Metric("epochs_to_95", "epochs to 95 % of the final validation AP", "lower", "cost"),
    Metric("best_val", "mAP50-95 of the best epoch on val", "", "cost"),
    Metric("at_detection_cap", "% of images at eval.max_detections", "lower", "cost"),
    Metric("at_candidate_cap", "% of images at eval.max_candidates", "lower", "cost"),
    Metric("batches_left_out", "training batches left out, not finite", "lower", "cost"),
)
TIMES = frozenset({"seconds_per_epoch", "images_per_second"})
"""Numbers that no two machines and no two hours share."""


def run_numbers(run: RunRecord, *, matched_recall: float) -> Numbers:
    """Return all numbers of a run on the test split; AP, AR and shares in points of 100.

    Args:
        run: the run.
        matched_recall: recall at which false alarms are counted, (0, 1].
    """
    found = scored_detections(run.test.truths, run.test.detections)
    return {
        **_accuracy(run.test.result),
        **_operating(found, matched_recall),
        **_errors(run.test),
        **_calibration(run, found),
        **_cost(run),
    }


def _accuracy(result: Mapping[str, Any]) -> Numbers:
    numbers: Numbers = {key: POINTS * result[key] for key in ("map50_95", "map50", "map75")}
    for size, of_size in result["by_size"].items():
        numbers[f"ap_{size}"] = _points(of_size["ap"])
    for limit, recall in result["average_recall"].items():
        numbers[f"ar_{limit}"] = POINTS * recall
    return numbers


def _operating(found: ScoredDetections, matched_recall: float) -> Numbers:
    lrp = optimal_lrp(found)
    return {
        "olrp": _points(lrp.error),
        "olrp_threshold": lrp.threshold,
        "false_alarms": false_alarms_at_recall(found, matched_recall),
        "recall_at_0.1": POINTS * recall_at_false_alarms(found, 0.1),
        "recall_at_1": POINTS * recall_at_false_alarms(found, 1.0),
    }


def _errors(split: JudgedSplit) -> Numbers:
    lost = error_types(split.truths, split.detections).delta_ap
    return {f"tide_{kind.lower()}": POINTS * value for kind, value in lost.items()}


def _calibration(run: RunRecord, found: ScoredDetections) -> Numbers:
    numbers: Numbers = {}
    for name, scores in recalibrated(run, found).items():
        errors = calibration(found, scores, floor=SCORE_FLOOR)
        numbers[f"d_ece_{name}"] = _points(errors.d_ece)
        numbers[f"la_ece_{name}"] = _points(errors.la_ece)
        numbers[f"brier_{name}"] = _points(errors.brier)
        if name == "raw":
            numbers["d_ece_adaptive"] = _points(errors.d_ece_adaptive)
    threshold = optimal_lrp(found).threshold
    if threshold is not None:
        at_olrp = calibration(found, found.scores, floor=threshold)
        numbers["d_ece_at_olrp"] = _points(at_olrp.d_ece)
    numbers["score_overlap"] = rank_correlation(
        found.scores[found.right], found.overlap[found.right]
    )
    rows = run.test.detections
    mended = replace(rows, scores=_isotonic_scores(run, rows.scores))
    numbers["map_isotonic"] = _points(float(JUDGES["hotcoco"](run.test.truths, mended).stats[0]))
    return numbers


def recalibrated(run: RunRecord, found: ScoredDetections) -> dict[str, Floats]:
    """Return raw, isotonic (fitted on val) and, for focal losses, inversely mapped scores (K,)."""
    scores = {"raw": found.scores, "isotonic": _isotonic_scores(run, found.scores)}
    focal = focal_of(run.config)
    if focal is not None:
        scores["inverse"] = undo_focal(found.scores, gamma=focal[0], alpha=focal[1])
    return scores


def _isotonic_scores(run: RunRecord, scores: Floats) -> Floats:
    fitted = scored_detections(run.val.truths, run.val.detections)
    return fit_isotonic(fitted.scores, fitted.right)(scores)


def focal_of(config: Mapping[str, Any]) -> tuple[float, float | None] | None:
    """Return gamma and alpha of a run's focal loss, classes first; None without one for all."""
    for branch in ("classification", "objectness"):
        settings = config.get("loss", {}).get(branch) or {}
        alpha = settings.get("alpha")
        if settings.get("name") == "focal" and not isinstance(alpha, list):
            return float(settings["gamma"]), alpha
    return None


def _cost(run: RunRecord) -> Numbers:
    counts = run.test.result["counts"]
    images = max(1, counts["images"])
    seconds = [row["seconds"] for row in run.history if row.get("seconds") is not None]
    validated = [
        (row["epoch"], row["map50_95"])
        for row in run.history
        if row.get("map50_95") is not None and row["epoch"] is not None
    ]
    near = [epoch for epoch, ap in validated if ap >= NEAR_FINAL * validated[-1][1]]  # type: ignore[operator]
    best = max((ap for _, ap in validated if ap is not None), default=None)
    return {
        "seconds_per_epoch": sum(s or 0.0 for s in seconds) / len(seconds) if seconds else None,
        "images_per_second": run.results.get("images_per_second"),
        "epochs": float(len(run.history)),
        "epochs_to_95": near[0] if near else None,
        "best_val": _points(best),
        "at_detection_cap": POINTS * counts["images_at_detection_cap"] / images,
        "at_candidate_cap": POINTS * counts["images_at_candidate_cap"] / images,
        "batches_left_out": run.results.get("batches_left_out"),
    }


def _points(value: float | None) -> float | None:
    return None if value is None else POINTS * value
