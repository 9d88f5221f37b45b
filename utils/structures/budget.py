"""`LossBudget`: where the loss of some batches and its gradient came from.

Everything is a sum over elements, one element being one logit of a branch against its target, so
that budgets of batches add up to that of an epoch.

Legend: L levels, C classes (1 for objectness), A anchors per cell.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import torch
from torch import Tensor

POSITIVE, NEGATIVE = 0, 1
"""Sides of a branch: targets above 0, and targets of 0."""

COUNT, LOSS, GRADIENT = 0, 1, 2
"""What is summed: elements, their part of the term, |d term / d logit|."""

DIFFICULTY_BINS: Final = 10
"""Equal bins of g = |score - target| in [0, 1]."""

SCORE_BINS: Final = 20
"""Equal bins of the score in [0, 1]."""

LOSS_BINS_PER_OCTAVE: Final = 8
LOWEST_OCTAVE, HIGHEST_OCTAVE = -64, 16
LOSS_BINS: Final = (HIGHEST_OCTAVE - LOWEST_OCTAVE) * LOSS_BINS_PER_OCTAVE
"""Bins of the logarithm of the loss, 9 % wide each, from 2^-64 to 2^16; what is beyond, 0 too, goes
into the outermost."""

CURVE_POINTS: Final = 101
"""Points of a cumulative curve, at equal distances from 0 to all elements."""

GROUPS: Final = ("positives", "hard_negatives", "easy_negatives")
"""An easy negative has a score below 0.1, the first bin of difficulty; a hard one any other."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BranchBudget:
    """One branch of the loss, objectness or classification; float64 sums on the CPU.

    sums: (2, 10, L, C, 3): side, difficulty, level, class; of count, loss, gradient. scores:
    (2, 20) elements by side and score. losses: (2, 640, 2) by side and size of the loss; of count
    and loss.
    """

    sums: Tensor
    scores: Tensor
    losses: Tensor

    def __post_init__(self) -> None:
        shape, rest = tuple(self.sums.shape), tuple(self.sums.shape[2:4])
        if shape != (2, DIFFICULTY_BINS, *rest, 3):
            raise ValueError(f"BranchBudget.sums must be (2, 10, L, C, 3), got {shape}")

    def __add__(self, other: "BranchBudget") -> "BranchBudget":
        if self.sums.shape != other.sums.shape:
            raise ValueError(
                f"budgets of different heads: {tuple(self.sums.shape)}, {tuple(other.sums.shape)}"
            )
        return BranchBudget(
            sums=self.sums + other.sums,
            scores=self.scores + other.scores,
            losses=self.losses + other.losses,
        )

    def groups(self) -> Tensor:
        """Return (3, L, C, 3): `GROUPS`, level, class; of count, loss, gradient."""
        negatives = self.sums[NEGATIVE]
        return torch.stack((self.sums[POSITIVE].sum(0), negatives[1:].sum(0), negatives[0]))

    def shares(self) -> Tensor:
        """Return (3, 2): the share of each of `GROUPS` in loss and gradient; 0 where both are."""
        totals = self.groups().sum((1, 2))[:, LOSS:]
        return totals / totals.sum(0).clamp(min=torch.finfo(totals.dtype).tiny)

    def cumulative_loss(self, side: int) -> list[float] | None:
        """Return the share of the loss held by the easiest 0, 1 ... 100 % of a side's elements.

        Lin et al. 2017 (arXiv:1708.02002), figure 4: losses sorted upwards, scaled to sum 1 and
        cumulated. From bins of the loss: at most 0.022 above the sorted one. None without elements
        or loss.
        """
        count, loss = self.losses[side].unbind(1)
        if count.sum() == 0 or loss.sum() == 0:
            return None
        ends = [torch.cat((total.new_zeros(1), total.cumsum(0))) for total in (count, loss)]
        elements, held = ((end / end[-1]).tolist() for end in ends)
        return [_interpolated(i / (CURVE_POINTS - 1), elements, held) for i in range(CURVE_POINTS)]

    def to_json(self) -> dict[str, Any]:
        """Return numbers by name; lists over classes are in the order of the labels."""
        groups = self.groups()
        return {
            "shares": _named(self.shares(), GROUPS, ("loss", "gradient")),
            "totals": _named(groups.sum((1, 2)), GROUPS, _SUMMED),
            "by_difficulty": {
                side: dict(zip(_SUMMED, table.T.tolist(), strict=True))
                for side, table in zip(_SIDES, self.sums.sum((2, 3)), strict=True)
            },
            "by_level": [_named(level, GROUPS, _SUMMED) for level in groups.sum(2).unbind(1)],
            "by_class": [_named(label, GROUPS, _SUMMED) for label in groups.sum(1).unbind(1)],
            "scores": dict(zip(_SIDES, self.scores.tolist(), strict=True)),
            "cumulative_loss": {
                side: self.cumulative_loss(index) for index, side in enumerate(_SIDES)
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LossBudget:
    """Sums of all branches of the loss over some batches, and the matches of cells and targets.

    branches: by name. matches: (L, A, C) matches by level, anchor and class of the target. targets
    and matched_targets: (C,) targets, and those of them with at least one match. images and
    batches: how many were measured. strides: input pixels per cell of each level.
    """

    branches: Mapping[str, BranchBudget]
    matches: Tensor
    targets: Tensor
    matched_targets: Tensor
    images: int
    batches: int
    strides: tuple[int, ...]

    def __add__(self, other: "LossBudget") -> "LossBudget":
        if self.strides != other.strides or self.branches.keys() != other.branches.keys():
            raise ValueError("budgets of different heads cannot be added")
        return LossBudget(
            branches={name: own + other.branches[name] for name, own in self.branches.items()},
            matches=self.matches + other.matches,
            targets=self.targets + other.targets,
            matched_targets=self.matched_targets + other.matched_targets,
            images=self.images + other.images,
            batches=self.batches + other.batches,
            strides=self.strides,
        )

    @property
    def best_possible_recall(self) -> float | None:
        """Share of the targets that at least one cell is assigned to; None without targets."""
        targets = self.targets.sum().item()
        return self.matched_targets.sum().item() / targets if targets else None

    def matches_per_image(self) -> list[float]:
        """Return the mean number of matches of each level."""
        per_level: list[float] = (self.matches.sum((1, 2)) / max(self.images, 1)).tolist()
        return per_level

    def state(self) -> dict[str, Any]:
        """Return what `from_state` takes: tensors and plain values."""
        return asdict(self)

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> "LossBudget":
        """Return the budget that `state` was of."""
        values = {field.name: state[field.name] for field in fields(LossBudget)}
        values["branches"] = {
            name: BranchBudget(**branch) for name, branch in state["branches"].items()
        }
        return LossBudget(**values)

    def to_json(self) -> dict[str, Any]:
        """Return numbers by name; lists over levels are fine to coarse, over classes by label."""
        return {
            "images": self.images,
            "batches": self.batches,
            "strides": list(self.strides),
            "matches": self.matches.tolist(),
            "targets": self.targets.tolist(),
            "matched_targets": self.matched_targets.tolist(),
            "best_possible_recall": self.best_possible_recall,
            "branches": {name: branch.to_json() for name, branch in self.branches.items()},
        }


_SIDES = ("positives", "negatives")
_SUMMED = ("count", "loss", "gradient")


def _named(table: Tensor, rows: tuple[str, ...], columns: tuple[str, ...]) -> dict[str, Any]:
    return {
        row: dict(zip(columns, values, strict=True))
        for row, values in zip(rows, table.tolist(), strict=True)
    }


def _interpolated(place: float, x: list[float], y: list[float]) -> float:
    """Return the value at `place` of the line through points with rising `x`; the last one's where
    several share an x.
    """
    after = bisect_right(x, place)
    if after == len(x):
        return y[-1]
    share = (place - x[after - 1]) / (x[after] - x[after - 1])
    return y[after - 1] + share * (y[after] - y[after - 1])
