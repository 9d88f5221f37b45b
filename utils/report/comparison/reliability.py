"""Precision over score."""

from utils.report.charts.plot_area import PlotArea
from utils.report.comparison.arms import Arms, color_of, legend_of

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
        y_label="share that is right",
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
