"""The pixels that are sent: as few as can be seen, and none too few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.augment import AugmentSettings
from data.augment.affine import Affine
from data.augment.device import sources
from data.augment.device.sources import gather
from data.augment.layout import single
from data.augment.plan import build_plan, compose
from data.loading.planned_batch import collate_planned
from tests.data.augment.device.both_ways import dataset_of, differences, keys_of, photograph
from tests.data.augment.test_plan_compose import META, affine, record
from utils.structures.batch import Batch
from utils.structures.images import ImageArray, Record


def window(change: Affine, side: int = 96) -> ImageArray:
    """The pixels that are sent of one square image in an output of 96 pixels."""
    source = record(0, (side, side))
    numbered = np.arange(side * side, dtype=np.uint32).view(np.uint8).reshape(side, side, 4)
    scene = compose(single(0, source.size, 96), [source], change, 96)
    plan = build_plan((scene,), share=1.0, ops=(), meta=META)
    ((found,),) = gather(plan, lambda _: numbered[..., :3]).sources
    return found.pixels


@pytest.mark.parametrize(
    ("change", "shape"),
    [
        (affine(), (96, 96)),  # all of it is seen
        (affine(shift=(0.5, 0.0)), (96, 49)),  # the left half, and one pixel for interpolation
        (affine(shift=(0.0, -0.25)), (73, 96)),
        (affine(zoom=2.0), (50, 50)),  # 48 pixels in the middle, one more on each side
        (affine(zoom=2.0, shift=(-0.5, 0.0)), (50, 49)),
        (affine(zoom=0.5), (48, 48)),  # shrunk before it is sent
        (affine(degrees=45, zoom=2.0), (70, 70)),  # the square on its corner is 67.9 wide
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


def all_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sources,
        "_canvas_window",
        lambda placement: (
            np.array(placement.tile.region[:2]) - 1e4,
            np.array(placement.tile.region[2:]) + 1e4,
        ),
    )


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
                all_windows(patch)
            planned = collate_planned([dataset.planned(key) for key in keys])
        drawn.append(planned.render())
        numbers.append(len(planned.pixels))
    # The origin of coordinates differs, and with it the last bit of some: one level of grey, of
    # which colours may make a few.
    assert differences(*drawn).max() <= 8
    assert differences(*drawn).float().mean() < 0.01
    assert numbers[0] < numbers[1]


def test_an_image_out_of_view_is_not_read() -> None:
    dataset = dataset_of(AugmentSettings(translate=1.0, scale=0.0), photograph)
    for key in keys_of(dataset, 64):
        read: list[str] = []
        plan = dataset.plan(key)

        def spy(source: Record, names: list[str] = read) -> ImageArray:
            names.append(source.path)
            return photograph(*source.size, 0)

        gather(plan, spy)
        assert read == [source.path for scene in plan.scenes for source, _ in scene.tiles]
