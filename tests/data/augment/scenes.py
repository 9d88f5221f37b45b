"""Scenes of known layout and affine, planned by the code under test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.augment.layout import Canvases, affine_matrices, place_scenes
from data.augment.operation import SampledOp
from data.augment.plan import BatchPlan, SampleRow
from data.images.pixels import ReadRecord
from data.records.split import RecordTable
from tests.data.augment.one_by_one import Affine, Layout, mosaic_four, mosaic_nine, single
from utils.structures.images import ImageMeta, Record, Sample

META = ImageMeta(path="x", image_id=0, original_size=(1, 1), scale=(1.0, 1.0), pad=(0, 0))


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One, four or nine images in an output of `image_size` pixels, laid out by `seed`."""

    records: Sequence[Record]
    image_size: int
    seed: int = 1

    def layout(self) -> Layout:
        """Return the layout of the slow way."""
        sizes = [record.size for record in self.records]
        if len(sizes) == 1:
            return single(0, sizes[0], self.image_size)
        lay = mosaic_four if len(sizes) == 4 else mosaic_nine
        return lay(range(len(sizes)), sizes, self.image_size, np.random.default_rng(self.seed))

    def add_to(self, canvases: Canvases, first: int = 0) -> None:
        """Lay the images out; they are counted from `first`."""
        rng, indices = np.random.default_rng(self.seed), range(first, first + len(self.records))
        if len(indices) == 1:
            canvases.add_single(first, self.records[0].size, self.image_size)
        elif len(indices) == 4:
            canvases.add_four(indices, self.image_size, rng)
        else:
            canvases.add_nine(indices, self.records[4].size, self.image_size, rng)


def values_of(change: Affine) -> list[float]:
    """Return a row of what `affine_values` returns."""
    return [
        change.degrees,
        change.zoom - 1,
        *change.shear_degrees,
        *change.perspective,
        *change.shift,
    ]


def matrix_of(
    change: Affine, canvas_side: int, image_size: int, corner: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """Return the map (3, 3) from canvas to output that puts `corner` on whole pixels."""
    canvases = Canvases(image_sizes=[image_size], sides=[canvas_side], corners=[corner])
    values = np.array([values_of(change)])
    (matrix,) = affine_matrices(canvases, values, np.array([image_size], np.float64))
    return matrix


def plan_scenes(
    samples: Sequence[tuple[Scene, Affine]], ops: tuple[SampledOp, ...] = ()
) -> tuple[BatchPlan, list[Record]]:
    """Return the plan of a batch of one scene a sample, and the records that its tiles count in."""
    canvases, records = Canvases(), []
    for scene, _ in samples:
        scene.add_to(canvases, len(records))
        records += scene.records
    values = np.array([values_of(change) for _, change in samples])
    tiles, objects = place_scenes(canvases, values, RecordTable(records))
    rows = [
        SampleRow(scenes=(number, number + 1), share=1.0, ops=ops, meta=META)
        for number in range(len(samples))
    ]
    size = samples[0][0].image_size
    return BatchPlan(image_size=size, tiles=tiles, objects=objects, rows=rows), records


def draw(scene: Scene, change: Affine, read: ReadRecord) -> Sample:
    """Return the sample of one scene, drawn as by a worker."""
    plan, records = plan_scenes([(scene, change)])
    sizes = np.array([records[index].size for index in plan.tiles.index], np.float64)
    (sample,) = plan.render(lambda index: read(records[index]), sizes.reshape(-1, 2))
    return sample
