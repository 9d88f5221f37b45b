"""How many right and wrong detections have which score."""

import math
from collections.abc import Mapping
from typing import Any

from utils.report.charts.plot_area import PlotArea, css
from utils.report.comparison.arms import Arms


def score_charts(arms: Arms) -> list[str]:
    """Return one chart an arm, all on the same logarithmic scale."""
    scores = [arm["plots"]["scores"] for arm in arms.values()]
    values = [v for one in scores for name in ("right", "wrong") for v in one[name] if v > 0]
    low, high = min(values, default=0.1), max(values, default=1.0)
    y_range = (10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high) + 0.01))
    return [
        _chart(name, one, css(index), y_range)
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
