"""Curves of a comparison: F1, precision-recall, reliability, score histograms, overlap."""

from collections.abc import Mapping
from typing import Any

from utils.report.charts.axes import decades
from utils.report.charts.plot_area import PlotArea, css
from utils.report.comparison.arms import Arms, color_of, legend_of


def f1_chart(arms: Arms) -> str:
    """Return mean F1 over seeds of all arms: a fixed threshold favours whoever scores higher."""
    curves = {name: arm["plots"]["f1"] for name, arm in arms.items()}
    peaks = {name: max(range(len(curve)), key=curve.__getitem__) for name, curve in curves.items()}
    area = PlotArea(
        title="F1 over the score threshold",
        description="; ".join(
            f"{name}: best {curves[name][peak]:.3f} at {_score(peak, len(curves[name])):.2f}"
            for name, peak in peaks.items()
        ),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        x_label="threshold",
        y_label="F1 at IoU 0.5",
    )
    for name, curve in curves.items():
        xs = [_score(index, len(curve)) for index in range(len(curve))]
        area.line(xs, curve, color_of(arms, name))
        peak = peaks[name]
        hint = f"{name}: best F1 {curve[peak]:.3f} at a score of {xs[peak]:.2f}"
        area.dot(xs[peak], curve[peak], color_of(arms, name), hint)
    return area.figure(legend_of(arms))


def _score(index: int, count: int) -> float:
    return index / (count - 1)


def precision_recall_chart(arms: Arms, threshold: str) -> str:
    """Return mean precision over recall of all arms at an IoU threshold, bands over images."""
    area = PlotArea(
        title=f"Precision and recall at IoU {threshold}",
        description="Mean over classes and seeds; bands hold 95 % of image resamples.",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        x_label="recall",
        y_label="precision",
    )
    recalls = [step / 100 for step in range(101)]
    for name, arm in arms.items():
        curve = arm["plots"]["precision_recall"][threshold]
        area.band(recalls, curve["low"], curve["high"], color_of(arms, name))
    for name, arm in arms.items():
        curve = arm["plots"]["precision_recall"][threshold]
        area.line(recalls, curve["mean"], color_of(arms, name))
    return area.figure(legend_of(arms))


FEWEST = 10
"""Detections of a bin that the line passes through; chance rules smaller ones, which are dots."""


def reliability_chart(arms: Arms, scores: str, title: str) -> str:
    """Return precision over score of the arms that have such scores; empty where none has."""
    having = [name for name, arm in arms.items() if arm["plots"]["reliability"].get(scores)]
    if not having:
        return ""
    area = PlotArea(
        title=title,
        description=(
            "On the diagonal a score is the share of right detections; dots grow with their number."
        ),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        x_label="mean score of the bin",
        y_label="precision",
    )
    area.line([0, 1], [0, 1], "plain", style="faint")
    for name in having:
        bins = arms[name]["plots"]["reliability"][scores]
        sure = [one for one in bins if one["count"] >= FEWEST]
        area.line([b["score"] for b in sure], [b["precision"] for b in sure], color_of(arms, name))
        most = max(b["count"] for b in bins)
        for one in bins:
            hint = f"{name}: {one['count']:.0f} detections, score {one['score']:.2f}, right "
            area.dot(
                one["score"],
                one["precision"],
                color_of(arms, name),
                f"{hint}{one['precision']:.2f}",
                radius=1.5 + 4 * (one["count"] / most) ** 0.5,
            )
    return area.figure(legend_of(arms, having))


def score_charts(arms: Arms) -> list[str]:
    """Return one chart an arm, all on the same logarithmic scale."""
    scores = [arm["plots"]["scores"] for arm in arms.values()]
    values = [v for one in scores for name in ("right", "wrong") for v in one[name] if v > 0]
    return [
        _chart(name, one, css(index), decades(values))
        for index, (name, one) in enumerate(zip(arms, scores, strict=True))
    ]


def _chart(name: str, scores: Mapping[str, Any], color: str, y_range: tuple[float, float]) -> str:
    count = len(scores["right"])
    area = PlotArea(
        title=f"Scores of {name}",
        description=(
            "Right detections filled, wrong ones as a line, per image, logarithmic; above a score "
            f"of 0.5 there are {sum(scores['right'][count // 2 :]):.2f} right and "
            f"{sum(scores['wrong'][count // 2 :]):.2f} wrong ones."
        ),
        x_range=(0.0, 1.0),
        y_range=y_range,
        x_label="score",
        y_label="detections per image",
        height=220,
        is_y_log=True,
    )
    for number, value in enumerate(scores["right"]):
        left, right = number / count, (number + 1) / count
        hint = f"{left:.2f} to {right:.2f}: {value:.3f} right ones per image"
        area.bar(left, right, value, color, hint)
    steps = [(k + side) / count for k in range(count) for side in (0, 1)]
    area.line(steps, [v for v in scores["wrong"] for _ in (0, 1)], "plain")
    return area.figure([(color, "right"), ("plain", "wrong")])


def overlap_chart(arms: Arms) -> str:
    """Return the score of right detections over their IoU: medians, quartiles as bands."""
    bins = {name: arm["plots"]["score_by_overlap"] for name, arm in arms.items()}
    shown = {name: own for name, own in bins.items() if own}
    area = PlotArea(
        title="Score of right detections over their IoU",
        description=(
            "Medians over all seeds, bands between the quartiles; rising: a better box gets a "
            "higher score. "
            + "; ".join(
                f"{name} from {own[0]['median']:.2f} to {own[-1]['median']:.2f}"
                for name, own in shown.items()
            )
        ),
        x_range=(0.5, 1.0),
        y_range=(0.0, 1.0),
        x_label="IoU with the object",
        y_label="score",
    )
    for name, own in shown.items():
        xs = [one["overlap"] for one in own]
        low, high = [one["low"] for one in own], [one["high"] for one in own]
        area.band(xs, low, high, color_of(arms, name))
    for name, own in shown.items():
        area.line(
            [one["overlap"] for one in own], [one["median"] for one in own], color_of(arms, name)
        )
        for one in own:
            hint = f"{name}, IoU {one['overlap']:.3f}: median score {one['median']:.3f} of "
            area.dot(
                one["overlap"],
                one["median"],
                color_of(arms, name),
                f"{hint}{one['count']} detections",
                radius=3,
            )
    return area.figure(legend_of(arms, shown))
