"""What a search is worth."""

from collections.abc import Mapping
from typing import Any

from utils.report.charts.plot_area import PlotArea, padded
from utils.report.comparison.arms import Arms, color_of, legend_of


def search_chart(tuning: Mapping[str, Mapping[str, Any]], arms: Arms) -> str:
    """Return the expected best of k trials for every arm; empty without tuning."""
    curves = {name: entry["best_of"] for name, entry in tuning.items() if name in arms}
    if not curves:
        return ""
    values = [v for curve in curves.values() for v in curve]
    area = PlotArea(
        title="What searching is worth: expected best of k trials",
        description="mAP50-95 on the validation split, reduced budget. "
        + "; ".join(f"{name}: {own[0]:.2f} to {own[-1]:.2f}" for name, own in curves.items()),
        x_range=(0.8, max(len(c) for c in curves.values()) + 0.2),
        y_range=padded(min(values), max(values)),
        x_label="trials",
        y_label="best mAP50-95 on val",
        is_x_whole=True,
    )
    for name, curve in curves.items():
        area.line(range(1, len(curve) + 1), curve, color_of(arms, name))
        for count, value in enumerate(curve, start=1):
            hint = f"{name}: best of {count} is expected at {value:.2f}"
            area.dot(count, value, color_of(arms, name), hint, radius=3)
    return area.figure(legend_of(arms, curves))
