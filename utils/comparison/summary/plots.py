"""Arrays of the charts of a report, rounded to visible precision."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.comparison.runs.run_record import RunRecord
from utils.comparison.statistics.bootstrap import image_weights
from utils.comparison.statistics.match_table import MatchTable
from utils.comparison.summary.budget_course import budget_by_epoch, course
from utils.comparison.summary.curves import mean_precision, score_by_overlap
from utils.comparison.summary.run_numbers import SCORE_FLOOR, recalibrated
from utils.metrics.calibration import reliability
from utils.metrics.rows import Floats
from utils.metrics.score_curves import score_curve
from utils.metrics.scored import ScoredDetections, scored_detections

BAND_REPLICATES = 60
HISTOGRAM_BINS = 20
_BAND_SEED = 3
_DECIMALS = 4


def arm_plots(runs: Sequence[RunRecord], tables: Sequence[MatchTable]) -> dict[str, Any]:
    """Return the arrays of one arm; `runs` and their tables over all seeds, at least one."""
    found = [scored_detections(run.test.truths, run.test.detections) for run in runs]
    return {
        "precision_recall": {
            "0.50": _curve(tables, 0),
            "0.75": _curve(tables, 5),
        },
        "reliability": _reliability(runs, found),
        "scores": _histogram(found),
        "f1": _rounded(np.mean([score_curve(one).f1 for one in found], axis=0)),
        "score_by_overlap": score_by_overlap(found),
        "budget": budget_by_epoch([run.budget for run in runs if run.budget]),
        "course": course(runs),
    }


def _curve(tables: Sequence[MatchTable], threshold: int) -> dict[str, list[float]]:
    """Return the mean curve over seeds, and the band of 95 % over images for that mean."""
    weights = image_weights(
        tables[0].num_images, BAND_REPLICATES, kind="dirichlet", seed=_BAND_SEED
    )
    columns = np.concatenate([np.ones((len(weights), 1)), weights], axis=1)
    curves = np.mean([mean_precision(t, columns, threshold=threshold) for t in tables], axis=0)
    low, high = np.quantile(curves[1:], [0.025, 0.975], axis=0)
    return {"mean": _rounded(curves[0]), "low": _rounded(low), "high": _rounded(high)}


def _reliability(
    runs: Sequence[RunRecord], found: Sequence[ScoredDetections]
) -> dict[str, list[dict[str, float]]]:
    """Return the bins of all seeds pooled, for raw and recalibrated scores."""
    pooled: dict[str, list[tuple[ScoredDetections, Floats]]] = {}
    for run, detections in zip(runs, found, strict=True):
        for name, scores in recalibrated(run, detections).items():
            pooled.setdefault(name, []).append((detections, scores))
    result = {}
    for name, parts in pooled.items():
        bins: dict[int, list[float]] = {}
        for detections, scores in parts:
            for one in reliability(detections, scores, floor=SCORE_FLOOR):
                total = bins.setdefault(min(int(one.score * 25), 24), [0.0, 0.0, 0.0])
                total[0] += one.count
                total[1] += one.count * one.score
                total[2] += one.count * one.precision
        result[name] = [
            {
                "count": count,
                "score": round(score / count, _DECIMALS),
                "precision": round(precision / count, _DECIMALS),
            }
            for _, (count, score, precision) in sorted(bins.items())
        ]
    return result


def _histogram(found: Sequence[ScoredDetections]) -> dict[str, list[float]]:
    """Return right and wrong detections per image and seed, by score from 0 to 1."""
    edges = np.linspace(0.0, 1.0, HISTOGRAM_BINS + 1)
    images = sum(one.num_images for one in found)
    counts = {
        name: sum(np.histogram(one.scores[one.right == right], bins=edges)[0] for one in found)
        for name, right in (("right", True), ("wrong", False))
    }
    return {name: _rounded(np.asarray(total) / images) for name, total in counts.items()}


def best_of(values: Sequence[float]) -> list[float]:
    """Return the expected best of k = 1 ... T trials drawn without replacement.

    The curve shows the result of a smaller search: arms are compared at equal effort.
    """
    ordered = sorted(values)
    total = len(ordered)
    curve = []
    for count in range(1, total + 1):
        chance = [_choose(rank, count - 1) / _choose(total, count) for rank in range(total)]
        curve.append(sum(c * v for c, v in zip(chance, ordered, strict=True)))
    return curve


def _choose(total: int, count: int) -> float:
    return float(math.comb(total, count))


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), _DECIMALS) for value in values]
