"""The head of RTMDet: anchor-free towers whose convolutions all levels share, points at corners.

Source: Lyu et al. 2022, arXiv 2212.07784, section 3.
Legend: B images, C classes, H W cells of a level.
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from models.heads.joint import MAX_WIDTH, DistanceHead, distance_decoder
from models.heads.shared_tower import SharedTower

DEPTH = 2
"""Convolutions of a tower before the one that predicts."""


class SharedJoint(DistanceHead):
    """Anchor-free head without objectness, for levels of equal width.

    Box and class tower of two 3 x 3 convolutions, the same for all levels but for their norms;
    last 1 x 1 convolutions of its own for each level. Distances count from the top left corner of a
    cell.

    Args:
        channels: channels of each level's feature map, all equal.
        coding: exp or linear.
        width: channels of the towers; None takes those of the levels.

    Raises:
        ValueError: the levels have different numbers of channels, or an argument is out of range.
    """

    optional_arguments = 2

    def __init__(
        self,
        channels: Sequence[int],
        coding: Literal["exp", "linear"] = "exp",
        width: int | None = None,
        *,
        num_classes: int,
    ) -> None:
        if len(set(channels)) != 1:
            raise ValueError(
                f"levels must have equally many channels, got {', '.join(map(str, channels))}"
            )
        if coding not in ("exp", "linear"):
            raise ValueError(f"distances must be exp or linear, got {coding}")
        width = channels[0] if width is None else width
        if not 1 <= width <= MAX_WIDTH:
            raise ValueError(f"width must be 1 to {MAX_WIDTH}, got {width}")
        super().__init__(
            len(channels),
            distance_decoder(coding, offset=0.0),
            width,
            width,
            num_classes=num_classes,
        )
        self.box_tower, self.class_tower = (
            SharedTower(channels, width, DEPTH, activation=nn.SiLU()) for _ in range(2)
        )

    def tower_features(self, features: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return what box and class outputs read, (B, width, H, W) each."""
        return self.box_tower(features, level), self.class_tower(features, level)
