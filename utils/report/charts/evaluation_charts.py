"""The charts of an evaluation as inline SVG, from an `Analysis`."""

from collections.abc import Sequence

import numpy as np

from utils.metrics.analysis import Analysis
from utils.metrics.rows import Floats
from utils.metrics.score_curves import THRESHOLDS
from utils.report.charts.plot_area import PlotArea, css
from utils.report.charts.series_charts import bar_area
from utils.report.tables.tables import shortened

NAMED = 6
"""Most classes whose curves get a colour and a name each; more are drawn alike."""
RECALLS: Floats = np.linspace(0.0, 1.0, 101)
KINDS = {
    "Cls": "class",
    "Loc": "location",
    "Both": "both",
    "Dupe": "duplicate",
    "Bkg": "background",
    "Miss": "missed",
}
"""Kinds of errors, as short as the space under a bar."""
CELL, CELL_WITH_NAME, CELL_WITH_NUMBER = 5, 12, 24
"""Pixels of a cell of the confusion matrix: at least, with its class named, with its number."""
MEANINGS = {
    "Cls": "right location, wrong class",
    "Loc": "right class, wrong location",
    "Both": "wrong class and location",
    "Dupe": "object found twice",
    "Bkg": "nothing there",
    "Miss": "object not found",
}


def evaluation_charts(analysis: Analysis, class_names: Sequence[str]) -> dict[str, PlotArea]:
    """Return the charts by their file names, in the order in which a page shows them."""
    scores = bar_area(
        "Detections by score (log)",
        {"right": list(analysis.right), "wrong": list(analysis.wrong)},
        x_label="score",
        is_log=True,
    )
    charts = {
        "pr": _precision_recall(analysis, class_names),
        "f1": _f1(analysis, class_names),
        "precision_recall_by_score": _precision_and_recall(analysis),
        "scores": scores,
        "reliability": _reliability(analysis),
    }
    return charts if analysis.error_types is None else {**charts, "errors": _errors(analysis)}


def confusion_chart(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> PlotArea:
    """Return the confusion matrix as a map; names of too many classes are numbers to a pointer.

    Args:
        confusion: (C + 1, C + 1) counts: rows true classes, columns what was found there; the last
            of both is the background.
        names: of the classes and of the background.
    """
    count = len(names)
    side = max(CELL, min(44, 480 // count))
    room = min(150, 16 + 7 * max(map(len, names)))
    has_names = side >= CELL_WITH_NAME
    left = bottom = room if has_names else 34
    area = PlotArea(
        title="Confusion: true class (rows), found class (columns)",
        description="colour: share of the objects of the row; last row and column: background",
        x_range=(-0.5, count - 0.5),
        y_range=(count - 0.5, -0.5),
        x_label="" if has_names else "number of the class; last: background",
        width=left + side * count + 14,
        height=bottom + side * count + 14,
        left=left,
        bottom=bottom,
        is_x_numeric=not has_names,
        is_x_whole=True,
        is_y_numeric=not has_names,
    )
    area.frame()
    for row, counts in enumerate(confusion):
        total = max(1, sum(counts))
        for column, number in enumerate(counts):
            hint = f"{names[row]} found as {names[column]}: {number} of {total}"
            if number:
                text = str(number) if has_names and side > CELL_WITH_NUMBER else ""
                area.cell(column, row, 0.06 + 0.54 * number / total, hint, text=text)
    for place, name in enumerate(names if has_names else ()):
        area.y_name(place, shortened(name))
        area.x_name(place, shortened(name), slant=90)
    return area


def _precision_recall(analysis: Analysis, names: Sequence[str]) -> PlotArea:
    known = _with_objects(analysis)
    curves = [analysis.precision50[:, label] for label in known]
    mean = np.mean(curves, axis=0) if curves else np.zeros(101)
    area = _unit_area(
        "Precision over recall, IoU 0.50",
        f"Mean of {len(known)} classes; its area is AP50 {float(mean.mean()):.3f}",
        ("recall", "precision"),
    )
    legend = _add_classes(area, RECALLS, curves, [names[label] for label in known])
    area.line(RECALLS.tolist(), mean.tolist(), css(0))
    area.legend = [(css(0), f"mean, AP50 {mean.mean():.3f}"), *legend]
    return area


def _f1(analysis: Analysis, names: Sequence[str]) -> PlotArea:
    known = _with_objects(analysis)
    best = float(analysis.pooled.f1.max())
    area = _unit_area(
        "F1 over the score threshold",
        f"All objects pooled: best F1 {best:.3f} at {analysis.shared_threshold:.3f}",
        ("score threshold", "F1"),
    )
    curves = [analysis.curves[label].f1 for label in known]
    legend = _add_classes(area, THRESHOLDS, curves, [names[label] for label in known])
    area.line(THRESHOLDS.tolist(), analysis.pooled.f1.tolist(), css(0))
    area.upright(analysis.shared_threshold)
    area.legend = [(css(0), f"all, best at {analysis.shared_threshold:.3f}"), *legend]
    return area


def _precision_and_recall(analysis: Analysis) -> PlotArea:
    area = _unit_area(
        "Precision and recall over the score threshold",
        "All objects pooled",
        ("score threshold", ""),
    )
    area.line(THRESHOLDS.tolist(), analysis.pooled.precision.tolist(), css(0))
    area.line(THRESHOLDS.tolist(), analysis.pooled.recall.tolist(), css(1))
    area.upright(analysis.shared_threshold)
    area.legend = [(css(0), "precision"), (css(1), "recall")]
    return area


def _reliability(analysis: Analysis) -> PlotArea:
    error = analysis.calibration.d_ece
    stated = "no detections" if error is None else f"D-ECE {error:.3f}"
    area = _unit_area(
        f"Reliability of scores, {stated}",
        "Share of right detections in bins of the score; the line is where they should lie",
        ("score", "precision"),
    )
    area.line([0, 1], [0, 1], "plain")
    most = max((one.count for one in analysis.reliability), default=1)
    for one in analysis.reliability:
        area.dot(
            one.score,
            one.precision,
            css(0),
            f"score {one.score:.2f}: {one.precision:.2f} right of {one.count}",
            radius=2.5 + 5 * (one.count / most) ** 0.5,
        )
    return area


def _errors(analysis: Analysis) -> PlotArea:
    found = analysis.error_types
    if found is None:
        raise ValueError("kinds of errors are not known")
    values = [100 * found.delta_ap[kind] for kind in KINDS]
    area = PlotArea(
        title="AP50 lost to each kind of error, points",
        description="; ".join(
            f"{MEANINGS[kind]}: {value:.1f}" for kind, value in zip(KINDS, values, strict=True)
        ),
        x_range=(-0.5, len(KINDS) - 0.5),
        y_range=(0.0, max(1.0, *values) * 1.08),
        bottom=60,
        is_x_numeric=False,
    )
    for place, (kind, value) in enumerate(zip(KINDS, values, strict=True)):
        hint = f"{MEANINGS[kind]}: {value:.1f} points, {found.counts[kind]} times"
        area.bar(place - 0.35, place + 0.35, value, css(1), hint)
        area.x_name(place, KINDS[kind], slant=24)
    return area


def _unit_area(title: str, description: str, labels: tuple[str, str]) -> PlotArea:
    return PlotArea(
        title=title,
        description=description,
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.02),
        x_label=labels[0],
        y_label=labels[1],
    )


def _with_objects(analysis: Analysis) -> list[int]:
    return [label for label, one in enumerate(analysis.thresholds) if one.num_truths]


def _add_classes(
    area: PlotArea, xs: Floats, curves: Sequence[Floats], names: Sequence[str]
) -> list[tuple[str, str]]:
    """Draw a line per class (101,) and return their legend; one class is what all are."""
    if len(curves) == 1:
        return []
    if len(curves) > NAMED:
        for curve in curves:
            area.line(xs.tolist(), curve.tolist(), "plain", style="faint")
        return [("plain", f"{len(curves)} classes")]
    for index, curve in enumerate(curves, start=1):
        area.line(xs.tolist(), curve.tolist(), css(index), style="faint")
    return [(css(index), name) for index, name in enumerate(names, start=1)]
