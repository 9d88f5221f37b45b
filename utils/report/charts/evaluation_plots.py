"""The pictures of an evaluation as PNG, for slides and papers; needs matplotlib.

The page shows the same as SVG without it. Nothing is kept in pyplot's global state.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.metrics.analysis import HISTOGRAM_BINS, Analysis
from utils.metrics.rows import Floats
from utils.metrics.score_curves import THRESHOLDS

DPI = 150
NAMED = 10
"""Most classes whose curves get a colour and a name each."""
NUMBERED = 15
"""Most classes of a confusion matrix with numbers in its cells."""
COLORS = ("#0072b2", "#d55e00")


def write_evaluation_plots(
    folder: Path, analysis: Analysis, confusion: Sequence[Sequence[int]], names: Sequence[str]
) -> list[Path]:
    """Write pr.png, f1.png, scores.png and confusion.png into `folder` and return their paths.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    drawings: Mapping[str, Any] = {
        "pr": lambda axes: _precision_recall(axes, analysis, names),
        "f1": lambda axes: _f1(axes, analysis, names),
        "scores": lambda axes: _scores(axes, analysis),
        "confusion": lambda axes: _confusion(axes, np.array(confusion), [*names, "background"]),
    }
    written = []
    for name, draw in drawings.items():
        side = _confusion_side(len(names)) if name == "confusion" else 0.0
        figure = Figure(figsize=(max(7.0, side * 1.15), max(4.6, side)), layout="constrained")
        draw(figure.subplots())
        written.append(folder / f"{name}.png")
        figure.savefig(written[-1], dpi=DPI)
    return written


def _precision_recall(axes: Any, analysis: Analysis, names: Sequence[str]) -> None:
    known = [label for label, one in enumerate(analysis.thresholds) if one.num_truths]
    curves = [analysis.precision50[:, label] for label in known]
    mean = np.mean(curves, axis=0) if curves else np.zeros(101)
    recalls = np.linspace(0, 1, 101)
    _classes(axes, recalls, curves, [names[label] for label in known])
    axes.plot(recalls, mean, color=COLORS[0], linewidth=2.5, label=f"mean, AP50 {mean.mean():.3f}")
    _finish(axes, "Precision over recall, IoU 0.50", "recall", "precision")


def _f1(axes: Any, analysis: Analysis, names: Sequence[str]) -> None:
    known = [label for label, one in enumerate(analysis.thresholds) if one.num_truths]
    curves = [analysis.curves[label].f1 for label in known]
    _classes(axes, THRESHOLDS, curves, [names[label] for label in known])
    best = analysis.shared_threshold
    axes.plot(THRESHOLDS, analysis.pooled.f1, color=COLORS[0], linewidth=2.5, label="all objects")
    axes.axvline(best, color="0.4", linestyle="--", linewidth=1, label=f"best at {best:.3f}")
    _finish(axes, "F1 over the score threshold, IoU 0.50", "score threshold", "F1")


def _scores(axes: Any, analysis: Analysis) -> None:
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)[:-1]
    width = 1 / HISTOGRAM_BINS
    for place, (name, counts) in enumerate((("right", analysis.right), ("wrong", analysis.wrong))):
        left = edges + width * (0.08 + 0.42 * place)
        axes.bar(left, counts, width * 0.42, align="edge", color=COLORS[place], label=name)
    if any(analysis.right) or any(analysis.wrong):
        axes.set_yscale("log")
    _finish(axes, "Detections by score, IoU 0.50", "score", "detections", is_unit=False)


def _confusion(axes: Any, counts: Any, names: Sequence[str]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    size = max(7.5, min(10.0, 320 / len(names)))
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("found")
    axes.set_ylabel("true")
    axes.set_title("Confusion (colour: share of the row)")
    if len(names) > NUMBERED + 1:
        return
    for row, column in np.ndindex(counts.shape):
        ink = "white" if shares[row, column] > 0.55 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=ink)


def _confusion_side(num_classes: int) -> float:
    """Return the side of the picture in inches at which names can still be read."""
    return min(16.0, 3.0 + 0.32 * num_classes)


def _classes(axes: Any, xs: Floats, curves: Sequence[Floats], names: Sequence[str]) -> None:
    if len(curves) == 1:
        return
    for name, curve in zip(names, curves, strict=True):
        if len(curves) <= NAMED:
            axes.plot(xs, curve, linewidth=1, alpha=0.8, label=name)
        else:
            axes.plot(xs, curve, linewidth=0.6, alpha=0.35, color="0.5")


def _finish(axes: Any, title: str, x_label: str, y_label: str, *, is_unit: bool = True) -> None:
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xlim=(0, 1))
    if is_unit:
        axes.set_ylim(0, 1.02)
    axes.grid(visible=True, color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
