"""Precision over recall, with bands."""

from utils.report.charts.plot_area import PlotArea
from utils.report.comparison.arms import Arms, color_of, legend_of


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
