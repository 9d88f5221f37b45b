"""Intervals of all arms' differences."""

from utils.report.charts.plot_area import PlotArea, padded
from utils.report.comparison.arms import ROW, Arms, color_of


def difference_chart(arms: Arms, *, margin: float, baseline: str) -> str:
    """Return intervals of all arms' differences, with the margin of equivalence shaded."""
    rows = [(name, arm) for name, arm in arms.items() if arm["verdict"] != "baseline"]
    ends = [end for _, arm in rows for end in arm["interval"]]
    area = PlotArea(
        title=f"Difference to {baseline} in mAP50-95",
        description="; ".join(
            f"{name} {arm['delta']:+.2f}, from {arm['interval'][0]:+.2f} to "
            f"{arm['interval'][1]:+.2f}"
            for name, arm in rows
        ),
        x_range=padded(min(*ends, -margin), max(*ends, margin)),
        y_range=(len(rows) - 0.5, -0.5),
        x_label=f"points; shaded: equivalent within {margin:g}",
        height=ROW * 2 + ROW * len(rows) + 40,
        left=118,
        is_y_numeric=False,
    )
    area.zone(-margin, margin, f"differences within {margin:g} points do not matter")
    area.upright(0.0)
    for row, (name, arm) in enumerate(rows):
        low, high = arm["interval"]
        color = color_of(arms, name)
        area.y_name(row, name)
        area.across(row, low, high, color, f"{name}: {low:+.2f} to {high:+.2f}")
        area.dot(arm["delta"], row, color, f"{name}: {arm['delta']:+.2f}", radius=5)
    return area.figure()
