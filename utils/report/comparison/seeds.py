"""Every run of every arm, seeds joined."""

from utils.report.charts.plot_area import PlotArea, css, padded
from utils.report.comparison.arms import Arms

LETTER_PX = 7
ROOM_PX = 430
"""Pixels that names have side by side."""


def seed_chart(arms: Arms) -> str:
    """Return mAP of every run, the runs of one seed joined by a line."""
    values = [v for arm in arms.values() for v in arm["map50_95"]["by_seed"].values()]
    names = list(arms)
    is_slanted = max(map(len, names)) * len(names) * LETTER_PX > ROOM_PX
    area = PlotArea(
        title="Every run, seeds joined",
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
        area.x_name(column, name, is_slanted=is_slanted)
        mean = arm["map50_95"]["mean"]
        area.line([column - 0.22, column + 0.22], [mean, mean], css(column))
        for seed, value in arm["map50_95"]["by_seed"].items():
            area.dot(column, value, css(column), f"{name}, seed {seed}: {value:.2f}")
    return area.figure()
