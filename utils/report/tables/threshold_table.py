"""Which score threshold serves which class best, as a table for the screen."""

from collections.abc import Sequence

from utils.metrics.analysis import Analysis
from utils.metrics.score_curves import ClassThreshold, mean_f1
from utils.report.tables.tables import number, shortened, table

HEADS = ("class, IoU 0.50", "objects", "best score", "nearly best", "F1", "precision", "recall")


def threshold_table(analysis: Analysis, class_names: Sequence[str]) -> str:
    """Return a line per class, and what one threshold for all classes costs."""
    shared = analysis.shared_threshold
    rows = [[*HEADS, f"F1 at {shared:.3f}"]]
    for name, one in zip(class_names, analysis.thresholds, strict=True):
        rows.append([shortened(name), *_cells(one), number(_shared(one))])
    own, common = mean_f1(analysis.thresholds)
    return (
        f"{table(rows)}\n\n"
        f"Mean F1 over classes: {own:.3f} with a threshold each, {common:.3f} with "
        f"{shared:.3f} for all, which is best for all objects pooled.\n"
        "nearly best: scores that reach 99 % of the best F1. To use a threshold: "
        f"predict.py eval.score_threshold={shared:.3f}"
    )


def _cells(one: ClassThreshold) -> list[str]:
    best, near = one.best, one.nearly_best
    span = "-" if near is None else f"{near[0]:.3f} to {near[1]:.3f}"
    if best is None:
        return [str(one.num_truths), *["-"] * 5]
    values = map(number, (best.f1, best.precision, best.recall))
    return [str(one.num_truths), number(best.threshold), span, *values]


def _shared(one: ClassThreshold) -> float | None:
    return one.f1_at_shared if one.num_truths else None
