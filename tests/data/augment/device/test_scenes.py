"""Scenes drawn by the device against the worker's, and against a reference pixel by pixel."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.augment import AugmentSettings
from data.augment import plan as plans
from data.augment.device import scenes
from data.augment.layout import Floats
from data.augment.warp import TOLERANCE_PX, Spans, find_spans
from data.loading.planned_batch import load_planned, pack_batch
from tests.data.augment.device.both_ways import (
    SIZES,
    TINY_SIZES,
    TRUE_COLOURS,
    clear_of_outlines,
    dataset_of,
    differences,
    drawn_both_ways,
    keys_of,
    photograph,
    same_targets,
    waves,
)
from tests.data.augment.one_by_one import Affine
from tests.data.augment.scenes import Scene, plan_scenes
from tests.data.augment.test_plan_compose import (
    CHANGES,
    LARGE_SIZES,
    SIZE,
    SQUARE_SIZES,
    expected_pixels,
    laid_out,
    ramp,
    record,
)

WARPS_ARE_EXACT = int(cv2.__version__.split(".")[0]) >= 5
"""OpenCV 4 rounds places to 1/32 pixel."""
GEOMETRIES = {
    "upright": {},
    "nine": {"mosaic_nine": 1.0},
    "single": {"mosaic": 0.0},
    "far": {"scale": 0.9, "mosaic_nine": 0.5},
    "mixup": {"mixup": 1.0, "flip_vertical": 0.5, "transpose": 0.5},
    "turned": {"degrees": 30.0, "shear": 8.0},
    "in perspective": {"degrees": 10.0, "perspective": 0.001, "flip_vertical": 0.5},
    "all of it": {"degrees": 90.0, "perspective": 0.001, "scale": 0.9, "mixup": 1.0},
}


@pytest.fixture
def _exact_warps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upright tiles by a warp as well: a resize moves them by up to 1/16 pixel."""

    def find_none(zoom: Floats, shift: Floats, length: Floats, stop: Floats) -> Spans:
        spans = find_spans(zoom, shift, length, stop)
        return spans._replace(found=np.zeros_like(spans.found))

    monkeypatch.setattr(plans, "find_spans", find_none)


@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_smooth_images_are_the_workers(geometry: dict[str, float]) -> None:
    dataset = dataset_of(AugmentSettings(**TRUE_COLOURS, **geometry), waves)
    keys = keys_of(dataset, 160)
    worker, device = drawn_both_ways(dataset, keys)
    assert same_targets(worker, device)
    assert len(device.targets) > 10
    difference = differences(worker, device)[clear_of_outlines(dataset, keys)].float()
    assert len(difference) > 0.7 * len(keys) * 160**2
    # Up to 7 levels from pixel to pixel of an image that may be 2.5 times as large as its tile.
    steepest = 7 * 2.5 / (1 - geometry.get("scale", 0.5))
    assert difference.max() <= 1 + TOLERANCE_PX * steepest
    assert difference.mean() < 0.3


@pytest.mark.slow
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_photographs_are_nearly_the_workers(geometry: dict[str, float]) -> None:
    dataset = dataset_of(AugmentSettings(**TRUE_COLOURS, **geometry), photograph)
    keys = keys_of(dataset, 160)
    worker, device = drawn_both_ways(dataset, keys)
    assert (differences(worker, device)[clear_of_outlines(dataset, keys)]).float().mean() < 1.0
    # Rims of turned tiles included.
    assert differences(worker, device).float().mean() < 2.0


@pytest.mark.usefixtures("_exact_warps")
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES)
def test_the_very_same_places_are_looked_up(geometry: dict[str, float]) -> None:
    """Without the shortcut of upright tiles only the last bit of a look-up may differ."""
    dataset = dataset_of(AugmentSettings(**TRUE_COLOURS, **geometry), photograph)
    keys = keys_of(dataset, 160)
    difference = differences(*drawn_both_ways(dataset, keys))[clear_of_outlines(dataset, keys)]
    if WARPS_ARE_EXACT:
        assert difference.max() <= 1
        assert difference.float().mean() < 0.01
    else:
        assert difference.max() <= 8
        assert difference.float().mean() < 0.4


@pytest.mark.slow
@pytest.mark.usefixtures("_exact_warps")
@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**16),
    strengths=st.fixed_dictionaries(
        {
            "degrees": st.sampled_from([0.0, 0.0, 20.0, 180.0]),
            "shear": st.sampled_from([0.0, 0.0, 15.0]),
            "perspective": st.sampled_from([0.0, 0.0, 0.001]),
            "scale": st.sampled_from([0.0, 0.5, 0.95]),
            "translate": st.sampled_from([0.1, 1.0]),
            "mosaic": st.sampled_from([0.0, 0.5, 1.0]),
            "mosaic_nine": st.sampled_from([0.0, 0.5, 1.0]),
            "mixup": st.sampled_from([0.0, 0.5, 1.0]),
            "flip_vertical": st.sampled_from([0.0, 0.5, 1.0]),
            "transpose": st.sampled_from([0.0, 0.5, 1.0]),
        }
    ),
    sizes=st.lists(st.sampled_from(SIZES + TINY_SIZES), min_size=1, max_size=3),
    image_size=st.sampled_from([32, 64, 96]),
)
def test_any_settings_draw_the_same(
    seed: int,
    strengths: dict[str, float],
    sizes: list[tuple[int, int]],
    image_size: int,
) -> None:
    dataset = dataset_of(AugmentSettings(**TRUE_COLOURS, **strengths), waves, sizes, seed)
    keys = keys_of(dataset, image_size)
    worker, device = drawn_both_ways(dataset, keys)
    assert same_targets(worker, device)
    difference = differences(worker, device)[clear_of_outlines(dataset, keys)]
    # Tiny images are magnified without end: the waves are steep there.
    assert difference.max() <= (1 if WARPS_ARE_EXACT else 8)


@pytest.mark.parametrize("sizes", [SQUARE_SIZES, LARGE_SIZES], ids=["small", "large"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("lay", ["single", "four", "nine"])
def test_pixels_are_where_the_geometry_says(
    lay: str, change: Affine, sizes: list[tuple[int, int]]
) -> None:
    """As for the worker, but outlines are exact for turned tiles too: no rim, no gap."""
    scene = laid_out(lay, sizes)
    plan, records = plan_scenes([(scene, change)])
    batch = pack_batch(plan, lambda index: ramp(records[index])).render()
    image = batch.images[0].permute(1, 2, 0).numpy()
    want, margin = expected_pixels(scene, change)
    clear = margin > 1e-3
    assert np.array_equal(image[clear][:, 2], want[clear][:, 2])
    inner = margin > 4 / change.zoom
    assert inner.sum() > 500
    error = image[inner].astype(float) - want[inner]
    assert np.abs(error).max() <= 2.5
    assert np.abs(error.mean(axis=0)).max() < 0.2


def test_strong_shrinking_averages_instead_of_skipping_pixels() -> None:
    """White lines, one column in four, become an even grey at a quarter of the size."""
    source = record(0, (SIZE * 4, SIZE * 4))
    lines = np.zeros((SIZE * 4, SIZE * 4, 3), np.uint8)
    lines[:, ::4] = 200
    scene = Scene(records=[source], image_size=SIZE)
    plan, _ = plan_scenes([(scene, CHANGES["still"])])
    planned = pack_batch(plan, lambda _: lines)
    assert len(planned.pixels) == 1 + SIZE**2
    assert (planned.render().images == 50).all()


def test_on_the_horizon_and_beyond_nothing_is_seen() -> None:
    """The divisor x - 2.5 is 0 at the third column and negative before; all else would be seen."""
    tables = scenes.SceneTables(
        matrices=torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, -2.5]]]),
        bounds=torch.tensor([[[0.0, 0.0, 6.0, 6.0]]]),
        regions=torch.tensor([[[0.0, 0.0, 1e9, 1e9]]]),
        lookups=torch.zeros(1, 2, 4),
        windows=torch.tensor([[[0, 1, 1], [1, 1, 1]]], dtype=torch.int32),
    )
    pixels = torch.tensor([[114] * 3, [7] * 3], dtype=torch.uint8)
    image = scenes.render_scenes(tables, pixels, 6)[0]
    assert (image[:, :3] == 114).all()
    assert (image[:, 3:] == 7).all()


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of(AugmentSettings(mixup=0.5, degrees=5), photograph)
    planned = load_planned(dataset, keys_of(dataset, 64))
    whole = planned.render().images
    for pixels in (1, 3 * 64**2, 5 * 64**2 + 1):
        monkeypatch.setattr(scenes, "CHUNK_PIXELS", pixels)
        assert torch.equal(planned.render().images, whole)


@pytest.mark.parametrize(
    ("share", "want"), [(1.0, 200), (0.5, 150), (0.0, 100), (0.25, 125), (0.255, 126)]
)
def test_blends_by_pencil(share: float, want: int) -> None:
    images = torch.full((3, 4, 4, 3), 200, dtype=torch.uint8)
    others = torch.stack((images[0] // 50, images[0] // 2))
    shares = torch.tensor([1.0, share, 1.0])
    scenes.blend_scenes(images, others, torch.tensor([0, 1, 1]), shares)
    assert (images[1] == want).all()
    assert (images[::2] == 200).all()
