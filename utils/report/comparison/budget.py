"""Where loss and gradient came from: how concentrated the loss is, and what pulls on the logits."""

from collections.abc import Mapping
from typing import Any

from utils.report.charts.plot_area import PlotArea
from utils.report.comparison.arms import Arms, color_of, legend_of

SIDES = ("negatives", "positives")


def cumulative_charts(arms: Arms) -> list[str]:
    """Return, for every branch and side, the loss held by the easiest elements, last epoch."""
    return [_cumulative(arms, branch, side) for branch in _branches(arms) for side in SIDES]


def difficulty_charts(arms: Arms, stage: int) -> list[str]:
    """Return the gradient by difficulty for every branch and side in a measured epoch.

    Args:
        arms: the arms.
        stage: position of the epoch among the measured ones: 0 the first, -1 the last.
    """
    return [_difficulty(arms, branch, side, stage) for branch in _branches(arms) for side in SIDES]


def measured_epochs(arms: Arms) -> list[int]:
    """Return the numbers of the epochs that every arm measured."""
    epochs: list[list[int]] = [
        arm["plots"]["budget"]["epochs"] for arm in arms.values() if arm["plots"].get("budget")
    ]
    return min(epochs, key=len, default=[])


def _budgets(arms: Arms) -> dict[str, Mapping[str, Any]]:
    return {
        name: arm["plots"]["budget"] for name, arm in arms.items() if arm["plots"].get("budget")
    }


def _branches(arms: Arms) -> list[str]:
    found = [branch for budget in _budgets(arms).values() for branch in budget["branches"]]
    return list(dict.fromkeys(found))


def _sides(arms: Arms, branch: str, side: str) -> dict[str, Mapping[str, Any]]:
    return {
        name: budget["branches"][branch][side]
        for name, budget in _budgets(arms).items()
        if branch in budget["branches"]
    }


def _cumulative(arms: Arms, branch: str, side: str) -> str:
    known = {n: one["cumulative_loss"] for n, one in _sides(arms, branch, side).items()}
    shown = {name: curve for name, curve in known.items() if curve is not None}
    area = PlotArea(
        title=f"Cumulative loss: {branch}, {side}",
        description="Share of the loss that the easiest share of elements holds, last epoch. "
        + "; ".join(
            f"{name}: the easiest half holds {curve[len(curve) // 2]:.1%}"
            for name, curve in shown.items()
        ),
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        x_label="share of elements, easiest first",
        y_label="share of loss",
    )
    for name, curve in shown.items():
        xs = [index / (len(curve) - 1) for index in range(len(curve))]
        area.line(xs, curve, color_of(arms, name))
    return area.figure(legend_of(arms, shown))


def _difficulty(arms: Arms, branch: str, side: str, stage: int) -> str:
    having = _sides(arms, branch, side)
    highest = max(v for one in having.values() for stages in one["gradient"] for v in stages)
    epoch = measured_epochs(arms)[stage]
    area = PlotArea(
        title=f"Gradient by difficulty: {branch}, {side}, epoch {epoch}",
        description="Share of the branch's gradient by |score - target|. "
        + "; ".join(
            f"{name}: {sum(one['gradient'][stage]):.0%} of the gradient, "
            f"{sum(one['gradient'][stage][5:]):.0%} from the harder half"
            for name, one in having.items()
        ),
        x_range=(0.0, 1.0),
        y_range=(0.0, highest * 1.05 or 1.0),
        x_label="|score - target|: easy to hard",
        y_label="share of gradient",
    )
    for name, one in having.items():
        shares = one["gradient"][stage]
        middles = [(index + 0.5) / len(shares) for index in range(len(shares))]
        area.line(middles, shares, color_of(arms, name))
        for x, y in zip(middles, shares, strict=True):
            area.dot(x, y, color_of(arms, name), f"{name}: {y:.3f}", radius=3)
    return area.figure(legend_of(arms, having))
