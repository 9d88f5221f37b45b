"""The device's colours against OpenCV's, over all levels."""

import cv2
import numpy as np
import pytest
import torch

from data.augment.hsv import HueSaturationValue, to_hsv, to_rgb

LEVELS = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize("red", range(0, 256, 15))
def test_hsv_has_the_levels_of_opencv(red: int) -> None:
    colours = np.empty((256, 256, 3), np.uint8)
    colours[..., 0], colours[..., 1], colours[..., 2] = red, LEVELS[:, None], LEVELS
    got = torch.stack(to_hsv(torch.from_numpy(colours)[None]), dim=-1)[0]
    assert np.array_equal(got, cv2.cvtColor(colours, cv2.COLOR_RGB2HSV))


@pytest.mark.parametrize("hue", range(0, 180, 7))
def test_rgb_is_opencvs_but_for_ties(hue: int) -> None:
    levels = np.empty((256, 256, 3), np.uint8)
    levels[..., 0], levels[..., 1], levels[..., 2] = hue, LEVELS[:, None], LEVELS
    want = cv2.cvtColor(levels, cv2.COLOR_HSV2RGB)
    planes = torch.from_numpy(levels).float().unbind(-1)
    difference = np.abs(to_rgb(*(plane[None] for plane in planes))[0].numpy() - want.astype(int))
    assert difference.max() <= 1
    assert difference.mean() < 0.01


@pytest.mark.parametrize(
    "gains",
    [(1.0, 1.0, 1.0), (1.013, 1.6, 0.7), (0.9, 0.3, 1.4), (1.9, 1.0, 1.0), (0.0, 2.0, 0.5)],
)
def test_changed_colours_are_the_workers(gains: tuple[float, float, float]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), dtype=np.uint8)
    op = HueSaturationValue()
    gains_of_each = torch.tensor([gains, (1.0, 0.0, 1.0)])
    changed = op.apply_torch(torch.from_numpy(images.copy()), gains_of_each)
    op.apply_numpy(images[0], gains)
    difference = np.abs(changed[0].numpy() - images[0].astype(int))
    # A product in the middle of two levels may be rounded either way; a level of hue is up to 9.
    assert difference.max() <= 10
    assert difference.mean() < 0.05
    # Each image has gains of its own: without saturation, grey of the brightest channel.
    assert np.array_equal(changed[1], images[1].max(-1, keepdims=True).repeat(3, axis=-1))
