"""Differences between arms: intervals, every run, classes."""

from collections.abc import Mapping
from typing import Any

from utils.report.charts.axes import padded
from utils.report.charts.plot_area import PlotArea, css, room_for
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
        left=room_for(name for name, _ in rows),
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
    names = [
        one["name"] if one["train_objects"] is None else f"{one['name']} ({one['train_objects']})"
        for one in classes
    ]
    area = PlotArea(
        title=f"{name}: difference by class, frequent ones first",
        description="; ".join(f"{one['name']} {one['delta']:+.1f}" for one in classes[:MOST_SAID]),
        x_range=x_range,
        y_range=(len(classes) - 0.5, -0.5),
        x_label="points; coloured: different after Benjamini-Hochberg",
        height=ROW * 2 + CLASS_ROW * len(classes) + 30,
        left=room_for(names),
        is_y_numeric=False,
    )
    area.upright(0.0)
    for row, one in enumerate(classes):
        area.y_name(row, names[row])
        mark = color if one["is_discovery"] else "plain"
        hint = f"{one['name']}: {one['delta']:+.2f}, {one['low']:+.2f} to {one['high']:+.2f}"
        area.across(row, one["low"], one["high"], mark, hint)
        area.dot(one["delta"], row, mark, hint)
    return area.figure()


LETTER_PX = 7
ROOM_PX = 430
"""Pixels that names have side by side."""


def seed_chart(arms: Arms) -> str:
    """Return mAP of every run, the runs of one seed joined by a line."""
    values = [v for arm in arms.values() for v in arm["map50_95"]["by_seed"].values()]
    names = list(arms)
    is_slanted = max(map(len, names)) * len(names) * LETTER_PX > ROOM_PX
    area = PlotArea(
        title="All runs; lines join equal seeds",
        description="; ".join(
            f"{name}: " + ", ".join(f"{v:.1f}" for v in arm["map50_95"]["by_seed"].values())
            for name, arm in arms.items()
        ),
        x_range=(-0.5, len(names) - 0.5),
        y_range=padded(min(values), max(values)),
        y_label="mAP50-95",
        height=320 if is_slanted else 280,
        bottom=84 if is_slanted else 44,
        is_x_numeric=False,
    )
    seeds = sorted({s for arm in arms.values() for s in arm["map50_95"]["by_seed"]}, key=int)
    for seed in seeds:
        points = [
            (column, arm["map50_95"]["by_seed"][seed])
            for column, arm in enumerate(arms.values())
            if seed in arm["map50_95"]["by_seed"]
        ]
        area.line([x for x, _ in points], [y for _, y in points], "plain", style="faint")
    for column, (name, arm) in enumerate(arms.items()):
        area.x_name(column, name, slant=28 if is_slanted else 0)
        mean = arm["map50_95"]["mean"]
        area.line([column - 0.22, column + 0.22], [mean, mean], css(column))
        for seed, value in arm["map50_95"]["by_seed"].items():
            area.dot(column, value, css(column), f"{name}, seed {seed}: {value:.2f}")
    return area.figure()
