"""The sampled parameters of one training sample, before any pixel is rendered.

A plan is rendered by the worker that made it (`render.py`) or by the training device (`device/`);
boxes and labels are part of the plan and do not depend on that.
"""

from dataclasses import dataclass

import numpy as np

from data.augment.operation import SampledOp
from data.augment.warp import Placement
from utils.structures.images import FloatArray, ImageMeta, LabelArray, MaskArray, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The visible tiles of one layout in a square output of `image_size` pixels.

    boxes (N, 4) float32 xyxy output pixels; labels (N,); ignore (N,). N may be 0.
    """

    image_size: int
    tiles: tuple[tuple[Record, Placement], ...]
    """The image of each tile and where it is visible."""
    boxes: FloatArray
    labels: LabelArray
    ignore: MaskArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePlan:
    """One sample, square, of `image_size` pixels.

    boxes (N, 4) float32 xyxy pixels of the finished image; labels (N,); ignore (N,). N may be 0.
    """

    image_size: int
    scenes: tuple[Scene, ...]
    """One, or two that are blended."""
    share: float
    """Of the first scene in the blend, 0 to 1."""
    ops: tuple[SampledOp, ...]
    """All pixel operations, in their order; some may not change this sample."""
    boxes: FloatArray
    labels: LabelArray
    ignore: MaskArray
    meta: ImageMeta


def build_plan(
    scenes: tuple[Scene, ...], *, share: float, ops: tuple[SampledOp, ...], meta: ImageMeta
) -> SamplePlan:
    """Return the plan of a sample: the objects of its scenes, those of the first one first, in the
    finished image. Arguments are fields of `SamplePlan`.
    """
    image_size = scenes[0].image_size
    boxes = np.concatenate([scene.boxes for scene in scenes])
    for op in ops:
        boxes = op.move_boxes(boxes, image_size)
    return SamplePlan(
        image_size=image_size,
        scenes=scenes,
        share=share,
        ops=ops,
        boxes=boxes,
        labels=np.concatenate([scene.labels for scene in scenes]),
        ignore=np.concatenate([scene.ignore for scene in scenes]),
        meta=meta,
    )
