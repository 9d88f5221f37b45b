"""Whether scores rank boxes by how well they fit."""

from utils.report.charts.plot_area import PlotArea
from utils.report.comparison.arms import Arms, color_of, legend_of


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
