"""F1 over the threshold of the score."""

from utils.report.charts.plot_area import PlotArea
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
