"""Views of one picture: whole, overlapping tiles (tiling), scaled and mirrored (TTA).

Their detections are merged in `models/inference/merge_views.py`.
"""

from dataclasses import dataclass, replace
from itertools import product
from math import ceil

import numpy as np
import torch
from torch import Tensor

from data.loading.framing import Framing
from utils.structures.images import ImageArray, Sample
from utils.structures.results import Detections

SCALES = (1.0, 0.75, 1.25)
"""Sizes of test-time augmentation, relative to that of the ordinary network input."""
BORDER_SHARE = 0.03
"""A box ends at the border of its tile if it is nearer than this share of the tile's side: the
precision of boxes of released weights on photographs."""
LEAST_BORDER = 2.0
"""The same in pixels, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A region of a picture, and its transform to the network input.

    region: x1, y1, x2, y2 in whole pixels of a picture of `picture_size` = (height, width).
    """

    region: tuple[int, int, int, int]
    picture_size: tuple[int, int]
    framing: Framing
    is_mirrored: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the network input."""
        x1, y1, x2, y2 = self.region
        return self.framing.letterbox((y2 - y1, x2 - x1)).shape

    def sample(self, picture: ImageArray) -> Sample:
        """Return the network input of `picture` (H, W, 3); its meta maps back to the region."""
        x1, y1, x2, y2 = self.region
        part = picture[y1:y2, x1:x2]
        if self.is_mirrored:
            part = part[:, ::-1]
        return self.framing.sample(np.ascontiguousarray(part), "", 0)

    def to_picture(self, found: Detections) -> Detections:
        """Map detections of the region, boxes (K, 4) in its pixels, to those of the picture."""
        x1, y1, x2, _ = self.region
        boxes = found.boxes
        if self.is_mirrored:
            left, top, right, bottom = boxes.unbind(-1)
            width = x2 - x1
            boxes = torch.stack([width - right, top, width - left, bottom], dim=-1)
        boxes = boxes + boxes.new_tensor([x1, y1, x1, y1])
        return replace(found, boxes=boxes)

    def is_cut(self, boxes: Tensor) -> Tensor:
        """Return which boxes (K, 4), in the picture's pixels, the region's border may cut.

        Borders of the picture itself cut nothing. Returns (K,) bool.
        """
        x1, y1, x2, y2 = self.region
        height, width = self.picture_size
        margin = max(LEAST_BORDER, BORDER_SHARE * max(x2 - x1, y2 - y1))
        left, top, right, bottom = boxes.unbind(-1)
        cut = torch.zeros(len(boxes), dtype=torch.bool)
        for is_inner, near in (
            (x1 > 0, left < x1 + margin),
            (y1 > 0, top < y1 + margin),
            (x2 < width, right > x2 - margin),
            (y2 < height, bottom > y2 - margin),
        ):
            if is_inner:
                cut |= near
        return cut


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlan:
    """The views of a picture: the whole picture, and tiles or TTA if set.

    framing: of the ordinary input; tiles too, so a tile as large as `image_size` is not resized.
        tile: side in pixels, None for none. overlap: share of a tile that its
    neighbour has too, below 1. is_augmented: every view at all `SCALES`, also mirrored.
    """

    framing: Framing
    tile: int | None = None
    overlap: float = 0.2
    is_augmented: bool = False

    def views(self, size: tuple[int, int]) -> list[View]:
        """Return the views of a picture of `size` = (height, width), the whole picture first."""
        mirrorings = (False, True) if self.is_augmented else (False,)
        return [
            View(region=region, picture_size=size, framing=framing, is_mirrored=is_mirrored)
            for region in self._regions(size)
            for framing, is_mirrored in product(self._framings(), mirrorings)
        ]

    def _regions(self, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
        height, width = size
        regions = [(0, 0, width, height)]
        if self.tile is not None and max(size) > self.tile:
            rows, columns = (tile_spans(side, self.tile, self.overlap) for side in size)
            regions += [(x1, y1, x2, y2) for (y1, y2), (x1, x2) in product(rows, columns)]
        return regions

    def _framings(self) -> list[Framing]:
        if not self.is_augmented:
            return [self.framing]
        stride = self.framing.stride
        sides = [max(1, round(self.framing.image_size * s / stride)) * stride for s in SCALES]
        return [replace(self.framing, image_size=side) for side in dict.fromkeys(sides)]


def tile_spans(length: int, tile: int, overlap: float) -> list[tuple[int, int]]:
    """Return (start, end) of the fewest even spans that cover `length` pixels.

    Neighbours share at least `overlap` times `tile` pixels, so an object that is not longer is
    whole in one of them.
    """
    if length <= tile:
        return [(0, length)]
    step = max(1, tile - ceil(tile * overlap))
    gaps = ceil((length - tile) / step)
    starts = [index * (length - tile) // gaps for index in range(gaps + 1)]
    return [(start, start + tile) for start in starts]
