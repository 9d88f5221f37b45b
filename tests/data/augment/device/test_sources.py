"""The pixels that are sent: as few as can be seen, and none too few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.augment import AugmentSettings
from data.augment.device import sources
from data.augment.device.sources import find_windows
from data.augment.layout import Points, Tiles
from data.loading.planned_batch import load_planned, pack_batch
from tests.data.augment.device.both_ways import dataset_of, differences, keys_of, photograph
from tests.data.augment.one_by_one import Affine
from tests.data.augment.scenes import Scene, plan_scenes
from tests.data.augment.test_plan_compose import affine, record
from utils.structures.batch import Batch
from utils.structures.images import ImageArray


def window(change: Affine, side: int = 96) -> ImageArray:
    """The pixels that are sent of one square image in an output of 96 pixels."""
    scene = Scene(records=[record(0, (side, side))], image_size=96)
    numbered = np.arange(side * side, dtype=np.uint32).view(np.uint8).reshape(side, side, 4)
    plan, _ = plan_scenes([(scene, change)])
    (found,) = find_windows(plan.tiles, np.array([[side, side]], float)).cut([numbered[..., :3]])
    return found


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        (affine(), (96, 96)),  # all of it is seen
        (affine(shift=(0.5, 0.0)), (96, 49)),  # the left half, and one pixel for interpolation
        (affine(shift=(0.0, -0.25)), (73, 96)),
        (affine(zoom=2.0), (50, 50)),  # 48 pixels in the middle, one more on each side
        (affine(zoom=2.0, shift=(-0.5, 0.0)), (50, 49)),
        (affine(zoom=0.5), (48, 48)),  # shrunk before it is sent
        (
            affine(degrees=45, zoom=2.0),
            (71, 71),
        ),  # the square on its corner, 67.9 wide, off whole px
    ],
)
def test_windows_by_pencil(change: Affine, shape: tuple[int, int]) -> None:
    assert window(change).shape[:2] == shape


def test_where_the_horizon_crosses_the_bounds_the_whole_image_is_sent() -> None:
    """A corner beyond it is seen nowhere on the canvas, and says nothing about the window."""
    change = Affine(
        degrees=25.86,
        zoom=0.831,
        shear_degrees=(0, 0),
        perspective=(-0.00325, 0.04725),
        shift=(-0.2439, -0.1846),
    )
    assert window(change).shape[:2] == (96, 96)


def test_windows_are_views_of_the_image() -> None:
    """Pixels are copied once, into the batch."""
    assert window(affine(zoom=1.7)).base is not None


def whole_canvas(tiles: Tiles) -> tuple[Points, Points]:
    return tiles.region[:, :2] - 1e4, tiles.region[:, 2:] + 1e4


@pytest.mark.slow
@settings(max_examples=12)
@given(
    seed=st.integers(0, 2**16),
    degrees=st.sampled_from([0.0, 25.0]),
    perspective=st.sampled_from([0.0, 0.001]),
    scale=st.sampled_from([0.5, 0.9]),
)
def test_whole_images_would_draw_the_same(
    seed: int, degrees: float, perspective: float, scale: float
) -> None:
    augment = AugmentSettings(
        degrees=degrees, perspective=perspective, scale=scale, translate=0.5, mosaic_nine=0.5
    )
    dataset = dataset_of(augment, photograph, seed=seed)
    keys = keys_of(dataset, 64, epochs=1)
    drawn: list[Batch] = []
    numbers = []
    for is_whole in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if is_whole:
                patch.setattr(sources, "_canvas_windows", whole_canvas)
            planned = load_planned(dataset, keys)
        drawn.append(planned.render())
        numbers.append(len(planned.pixels))
    # The origin of coordinates differs, and with it the last bit of some: one level of grey, of
    # which colours may make a few.
    assert differences(*drawn).max() <= 8
    assert differences(*drawn).float().mean() < 0.01
    assert numbers[0] < numbers[1]


def test_an_image_out_of_view_is_not_read() -> None:
    dataset = dataset_of(AugmentSettings(translate=1.0, scale=0.0), photograph)
    keys = keys_of(dataset, 64)
    plan = dataset.plan(keys)
    read: list[int] = []

    def spy(index: int) -> ImageArray:
        read.append(index)
        return dataset.read(index)

    pack_batch(plan, spy)
    assert read == plan.tiles.index.tolist()
    assert len(read) < 4 * len(keys)
