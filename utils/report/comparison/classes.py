"""Differences by class."""

from collections.abc import Mapping
from typing import Any

from utils.report.charts.plot_area import PlotArea, padded
from utils.report.comparison.arms import ROW, Arms, color_of

CLASS_ROW = 18
"""Height of a class, pixels."""
MOST_SAID = 30
"""Classes that the description names."""


def class_charts(arms: Arms) -> list[str]:
    """Return one chart an arm but the baseline, all on one scale: intervals of every class."""
    judged = {name: arm["per_class"] for name, arm in arms.items() if "per_class" in arm}
    classes = {name: per_class["classes"] for name, per_class in judged.items()}
    ends = [one[end] for own in classes.values() for one in own for end in ("low", "high")]
    return [
        _chart(name, own, color_of(arms, name), padded(min([0.0, *ends]), max([0.0, *ends])))
        for name, own in classes.items()
        if own
    ]


def _chart(
    name: str, stated: list[Mapping[str, Any]], color: str, x_range: tuple[float, float]
) -> str:
    classes = sorted(stated, key=lambda one: -(one["train_objects"] or one["test_objects"]))
    area = PlotArea(
        title=f"{name}: difference by class, frequent ones first",
        description="; ".join(f"{one['name']} {one['delta']:+.1f}" for one in classes[:MOST_SAID]),
        x_range=x_range,
        y_range=(len(classes) - 0.5, -0.5),
        x_label="points; coloured: different after Benjamini-Hochberg",
        height=ROW * 2 + CLASS_ROW * len(classes) + 30,
        left=170,
        is_y_numeric=False,
    )
    area.upright(0.0)
    for row, one in enumerate(classes):
        objects = one["train_objects"] if one["train_objects"] is not None else "?"
        area.y_name(row, f"{one['name']} ({objects})")
        mark = color if one["is_discovery"] else "plain"
        hint = f"{one['name']}: {one['delta']:+.2f}, {one['low']:+.2f} to {one['high']:+.2f}"
        area.across(row, one["low"], one["high"], mark, hint)
        area.dot(one["delta"], row, mark, hint)
    return area.figure()
