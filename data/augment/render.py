"""Render a plan to a sample by OpenCV, in the loader worker."""

import numpy as np

from data.augment.mixup import blend
from data.augment.plan import SamplePlan, Scene
from data.augment.warp import render_tile
from data.images.letterbox import PAD_COLOUR
from data.images.pixels import ReadRecord
from utils.structures.images import ImageArray, Sample


def render(plan: SamplePlan, read: ReadRecord) -> Sample:
    """Return the sample that `plan` describes; `read` gives the pixels of a record.

    Raises:
        UserError: an image cannot be read.
    """
    image = render_scene(plan.scenes[0], read)
    for scene in plan.scenes[1:]:
        image = blend(image, render_scene(scene, read), plan.share)
    for op in plan.ops:
        image = op.apply(image)
    return Sample(
        image=image,
        boxes=plan.boxes,
        labels=plan.labels,
        ignore=plan.ignore,
        meta=plan.meta,
    )


def render_scene(scene: Scene, read: ReadRecord) -> ImageArray:
    """Return the pixels (S, S, 3) of a scene, grey where no tile is.

    Raises:
        UserError: an image cannot be read.
    """
    output = np.full((scene.image_size, scene.image_size, 3), PAD_COLOUR, np.uint8)
    for record, placement in scene.tiles:
        render_tile(output, read(record), placement)
    return output
