"""What the loss budget of a training says, in a sentence per branch."""

from collections.abc import Mapping
from typing import Any

LITTLE, MUCH = 0.2, 0.5
"""Shares of easy negatives below and above which a sentence says little and much. Round numbers, no
law: a share tells what a loss can remove, not whether the detections gain by it."""

NEARLY_ALL = 0.95
"""Share of positives in the gradient above which a sentence warns that negatives teach little."""

PLAIN_LOSSES = frozenset({"bce", "bce_alpha", "bce_blur", "poly", "softmax", "seesaw"})
"""Losses that weigh easy and hard elements alike; all others already take from the easy ones."""


def branch_sentence(
    branch: str, loss: str, last: Mapping[str, Any], first: Mapping[str, Any] | None = None
) -> str:
    """Return what easy negatives hold of a branch at the end, and what that means for focal loss.

    The larger of their shares in loss and gradient decides: below 20 % focal has little to remove,
    above 50 % they outweigh everything else, in between it would shift some weight.
    Where positives hold more than 95 % of the gradient, a second sentence says so.

    Args:
        branch: objectness or classification.
        loss: its name in the configuration.
        last: the branch in the last epoch of budget.json.
        first: the same in the first epoch, where that is another one.
    """
    if not last["totals"]["positives"]["count"]:
        return f"{branch.capitalize()}: no positive was seen in the last epoch."
    share = last["shares"]["easy_negatives"]
    began = ""
    if first is not None:
        shares = first["shares"]["easy_negatives"]
        began = f" ({percent(shares['loss'])} and {percent(shares['gradient'])} in the first epoch)"
    return (
        f"{branch.capitalize()}: in the last epoch easy negatives hold {percent(share['loss'])} of "
        f"the loss and {percent(share['gradient'])} of its gradient{began}: "
        f"{_meaning(max(share['loss'], share['gradient']), loss)}."
        f"{_warning(last['shares']['positives']['gradient'])}"
    )


def _warning(positives: float) -> str:
    if positives <= NEARLY_ALL:
        return ""
    return (
        f" Positives hold {percent(positives)} of the gradient: hardly anything pushes scores down "
        "where they should be low."
    )


def _meaning(share: float, loss: str) -> str:
    is_plain = loss in PLAIN_LOSSES
    if share < LITTLE:
        return (
            "focal loss is unlikely to help"
            if is_plain
            else f"after {loss} they have little weight"
        )
    if share <= MUCH:
        return (
            "focal loss would move part of the weight to harder elements; only a comparison shows "
            "whether that helps"
            if is_plain
            else f"even after {loss} they keep part of the weight"
        )
    return (
        "they outweigh everything else, the case focal loss was made for; only a comparison shows "
        "whether it helps here"
        if is_plain
        else f"even after {loss} they outweigh everything else"
    )


def recall_sentence(budget: Mapping[str, Any]) -> str:
    """Return how many ground-truth boxes of an epoch of budget.json are assigned to a cell."""
    targets, matched = sum(budget["targets"]), sum(budget["matched_targets"])
    if not targets:
        return "No target was seen in the measured batches."
    if matched == targets:
        return (
            "Every ground-truth box is assigned to at least one cell: best possible recall 100 %."
        )
    return (
        f"{targets - matched:.0f} of {targets:.0f} ground-truth boxes are assigned to no cell, so "
        f"the network never learns to find them: best possible recall "
        f"{percent(matched / targets)}. loss.assigner decides that, and model.anchors where the "
        "head has anchors."
    )


def percent(share: float) -> str:
    """Return a share as text, with a digit after the point where the first would be lost."""
    value = 100 * share
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.95 <= value < 100:
        return ">99.9 %"
    return (
        f"{value:.0f} %" if value == 0 or 10 <= value < 99.5 or value == 100 else f"{value:.1f} %"
    )
