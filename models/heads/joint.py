"""The head of our own family: anchor-free, decoupled, one score for class and box jointly.

Legend: B images, C classes, L levels, H W cells of a level, N bins of a distribution.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from configs.heads import HEAD_TRAITS
from configs.schema.model import MAX_BINS
from models.blocks.conv import Conv, DWConv
from models.blocks.join import is_recorded, join
from models.heads.detection_head import BoxFirst, ClassRows, DetectionHead
from models.heads.priors import Priors, cell_biases
from utils.structures.decoder import Decoder

LARGEST_LOG = math.log(1000.0)
"""Log of the largest distance in cells; more would overflow in half precision."""
SMALLEST_DISTANCE = 1e-8
"""In cells; keeps the logarithm of a distance finite."""
START_DISTANCE = 2.0
"""Cells from the centre to each side that a plain distance starts with."""
MAX_WIDTH = 4096

Coding = int | Literal["exp", "linear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceDecoder(BoxFirst):
    """Boxes by the distances of their sides from a point of the cell: left, top, right, bottom.

    A distance is in cells: exp(q), cut at 1000; q itself with `is_linear`, where sides that would
    cross coincide; with `bins` the mean sum_k k softmax(q)_k of a distribution over 0 to bins - 1
    (Li et al. 2020, arXiv 2006.04388).

    offset: where in its cell the point lies, 0 (top left) to 1.
    """

    has_objectness: bool = HEAD_TRAITS["Joint"].has_objectness
    bins: int = 0
    is_linear: bool = False
    offset: float = 0.5

    def boxes(
        self, coded: Tensor, cells_xy: Tensor, anchors: Tensor | None, stride: float
    ) -> Tensor:
        """Return boxes (..., 4) xyxy of distances (..., 4) or (..., 4 N), see `Decoder`."""
        if self.bins:
            distances = _mean_bins(coded.unflatten(-1, (4, self.bins)))
        elif self.is_linear:
            distances = coded
        else:
            distances = coded.clamp(max=LARGEST_LOG).exp()
        points, distances = (cells_xy + self.offset) * stride, distances * stride
        first, second = points - distances[..., :2], points + distances[..., 2:]
        if self.is_linear:
            # Nothing keeps a distance from being negative: such a box has no area, not a negative
            # one, and learns as if nothing had been cut.
            second = second + (first - second).detach().clamp(min=0)
        return torch.cat((first, second), dim=-1)

    def encode(self, boxes: Tensor) -> Tensor:
        """Return what decodes to boxes (..., 4) in cells from the corner of their cell: (..., 4)
        as `boxes` takes it, with `bins` the mean of each distribution.
        """
        distances = torch.cat((self.offset - boxes[..., :2], boxes[..., 2:] - self.offset), dim=-1)
        if self.bins or self.is_linear:
            return distances
        return distances.clamp(min=SMALLEST_DISTANCE).log()


def _mean_bins(logits: Tensor) -> Tensor:
    """Return the means (...) of distributions over 0 to N - 1 with logits (..., N)."""
    bins = torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype)
    if logits.device.type != "cpu" or is_recorded():
        # Not as a matrix product, which OpenVINO's optimizer fuses wrongly with the stride.
        return (logits.softmax(dim=-1) * bins).sum(dim=-1)
    # On a CPU a softmax over eight neighbours takes ten times as long as one over eight rows.
    shares = logits.movedim(-1, 0).contiguous().softmax(dim=0)
    return (shares * bins.view(-1, *[1] * (logits.ndim - 1))).sum(dim=0)


def distance_decoder(coding: Coding, *, offset: float = 0.5) -> DistanceDecoder:
    """Return the decoder of plain distances (exp, linear) or of distributions of so many bins.

    `offset` is the position in its cell of the point that distances count from.

    Raises:
        ValueError: it is none of these.
    """
    if coding in ("exp", "linear"):
        return DistanceDecoder(is_linear=coding == "linear", offset=offset)
    if isinstance(coding, bool) or not isinstance(coding, int) or not 2 <= coding <= MAX_BINS:
        raise ValueError(f"distances must be exp, linear or 2 to {MAX_BINS} bins, got {coding}")
    return DistanceDecoder(bins=coding, box_channels=4 * coding, offset=offset)


class DistanceHead(DetectionHead):
    """What anchor-free heads without objectness have in common: the last convolutions of a level.

    A subclass builds its towers, then calls `add_outputs`: weights are drawn in this order.
    """

    def __init__(self, decoder: DistanceDecoder, *, num_classes: int) -> None:
        super().__init__(num_classes=num_classes)
        self.decoder: Decoder = decoder

    def add_outputs(
        self, num_levels: int, box_width: int, class_width: int, *, groups: int = 1
    ) -> None:
        """Build 1 x 1 convolutions with bias from so many channels for each of L levels.

        `groups` is that of the box outputs.
        """
        box_channels = cast(DistanceDecoder, self.decoder).box_channels
        self.box_outputs = nn.ModuleList(
            nn.Conv2d(box_width, box_channels, 1, groups=groups) for _ in range(num_levels)
        )
        self.class_outputs = nn.ModuleList(
            nn.Conv2d(class_width, self.num_classes, 1) for _ in range(num_levels)
        )

    @abstractmethod
    def tower_features(self, features: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return what box and class outputs read, (B, width, H, W) each."""

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Map one feature map (B, channels, H, W) per level to raw output (B, 1, H, W, K) each,
        4 or 4 N of the box, then C of the classes.
        """
        return tuple(self._predict(level, index) for index, level in enumerate(features))

    def _predict(self, features: Tensor, level: int) -> Tensor:
        boxes, classes = self.tower_features(features, level)
        outputs = self.box_outputs[level](boxes), self.class_outputs[level](classes)
        return self.split_anchors(join(*outputs))

    @torch.no_grad()
    def init_weights(self, priors: Priors, strides: Sequence[int]) -> None:
        """Draw the weights by torch's default; scores start at the share of cells that contain an
        object of their class, plain distances at 2 cells.

        Raises:
            ValueError: a count is not positive, or there is not one per class or level.
        """
        biases = cell_biases(priors, self.num_classes, strides)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        decoder = cast(DistanceDecoder, self.decoder)
        start = START_DISTANCE if decoder.is_linear else math.log(START_DISTANCE)
        for box, classes, class_biases in zip(
            self.box_outputs, self.class_outputs, biases, strict=True
        ):
            nn.init.constant_(cast(Tensor, box.bias), 0.0 if decoder.bins else start)
            cast(Tensor, classes.bias).copy_(class_biases)

    def class_rows(self) -> Mapping[str, ClassRows]:
        """Return that the last convolutions of the classes have rows of nothing else."""
        rows = ClassRows(groups=1)
        return {f"class_outputs.{name}": rows for name in self.class_outputs.state_dict()}


class Joint(DistanceHead):
    """Anchor-free head without objectness: a box and a class tower for each level.

    Box tower: two 3 x 3 convolutions. Class tower: twice a depth-wise 3 x 3 and a 1 x 1
    convolution, a fraction of the work for what is the easier task. Both end in a 1 x 1 convolution
    with bias.

    Args:
        channels: channels of each level's feature map, fine to coarse or in any order.
        coding: exp or linear for plain distances, or the number of bins of distributions.
        box_width: channels of the box towers; None takes a quarter of the narrowest level's, at
            least 16 and the channels of the output.
        class_width: channels of the class towers; None takes those of the narrowest level, at
            least the classes up to 128.
        is_full: 3 x 3 convolutions in the class towers, too.
        groups: of the box towers' convolutions after the first; 4 keeps the sides apart.

    Raises:
        ValueError: an argument is out of range.
    """

    optional_arguments = 5

    def __init__(
        self,
        channels: Sequence[int],
        coding: Coding = 8,
        box_width: int | None = None,
        class_width: int | None = None,
        is_full: bool = False,
        groups: int = 1,
        *,
        num_classes: int,
    ) -> None:
        decoder = distance_decoder(coding)
        narrowest = min(channels)
        box_width = box_width or max(16, narrowest // 4, 4 * decoder.bins)
        class_width = class_width or max(narrowest, min(num_classes, 128))
        if not 1 <= min(box_width, class_width) <= max(box_width, class_width) <= MAX_WIDTH:
            raise ValueError(f"widths must be 1 to {MAX_WIDTH}, got {box_width} and {class_width}")
        super().__init__(decoder, num_classes=num_classes)
        self.box_towers = nn.ModuleList(
            nn.Sequential(Conv(source, box_width, 3), Conv(box_width, box_width, 3, groups=groups))
            for source in channels
        )
        self.class_towers = nn.ModuleList(
            nn.Sequential(
                *_separable(source, class_width, is_full=is_full),
                *_separable(class_width, class_width, is_full=is_full),
            )
            for source in channels
        )
        self.add_outputs(len(channels), box_width, class_width, groups=groups)

    def tower_features(self, features: Tensor, level: int) -> tuple[Tensor, Tensor]:
        """Return what box and class outputs read, (B, width, H, W) each."""
        return self.box_towers[level](features), self.class_towers[level](features)


def _separable(source: int, width: int, *, is_full: bool) -> list[nn.Module]:
    """Return a 3 x 3 convolution, or a depth-wise one and a 1 x 1 convolution."""
    if is_full:
        return [Conv(source, width, 3)]
    return [DWConv(source, source, 3), Conv(source, width, 1)]
