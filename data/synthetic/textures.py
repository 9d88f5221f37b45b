"""Surfaces: patterns, cluttered backgrounds, light. Colours are float32 RGB, 0 to 255."""

from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

FieldArray: TypeAlias = npt.NDArray[np.float32]

PATTERNS = ("plain", "stripes", "checker", "noise", "dots")
OCTAVES = (3, 7, 16, 40, 90)


def pixel_grid(image_size: tuple[int, int]) -> tuple[FieldArray, FieldArray]:
    """Return x (1, W) and y (H, 1) of the pixel centres."""
    height, width = image_size
    columns = np.arange(width, dtype=np.float32)[None] + 0.5
    rows = np.arange(height, dtype=np.float32)[:, None] + 0.5
    return columns, rows


def smooth_noise(
    rng: np.random.Generator, image_size: tuple[int, int], cells: int, channels: int = 1
) -> FieldArray:
    """Return smooth random values (H, W, channels), about -1 to 1, `cells` bumps a side."""
    height, width = image_size
    coarse = rng.uniform(-1, 1, (cells, cells, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32).reshape(height, width, channels)


def pattern(
    rng: np.random.Generator, name: str, image_size: tuple[int, int], period: float
) -> FieldArray:
    """Return a pattern (H, W), 0 to 1, of a random direction and phase.

    Args:
        rng: source of direction and phase.
        name: one of PATTERNS.
        image_size: (height, width) pixels.
        period: pixels from one stripe, square or dot to the next.
    """
    if name == "plain":
        return np.zeros(image_size, np.float32)
    if name == "noise":
        cells = max(2, round(max(image_size) / period))
        bumps = smooth_noise(rng, image_size, cells)[..., 0]
        return np.asarray(np.clip(bumps * 0.7 + 0.5, 0, 1), np.float32)
    along, across = _turned_waves(rng, image_size, period)
    if name == "stripes":
        return _sharpened(along)
    if name == "checker":
        return _sharpened(along * across)
    return _sharpened((along + across) / 2 - 0.35)


def _sharpened(wave: npt.NDArray[np.floating[Any]]) -> FieldArray:
    """Return a wave (H, W) from -1 to 1 as two tones, 0 and 1, with short ramps between them."""
    return np.asarray(np.clip(wave * 3 + 0.5, 0, 1), np.float32)


def _turned_waves(
    rng: np.random.Generator, image_size: tuple[int, int], period: float
) -> tuple[FieldArray, FieldArray]:
    angle = rng.uniform(0, np.pi)
    phases = rng.uniform(0, 2 * np.pi, 2)
    columns, rows = pixel_grid(image_size)
    cosine, sine = (2 * np.pi / period) * np.cos(angle), (2 * np.pi / period) * np.sin(angle)
    return (
        np.sin(columns * cosine + rows * sine + phases[0]).astype(np.float32),
        np.sin(rows * cosine - columns * sine + phases[1]).astype(np.float32),
    )


def background(rng: np.random.Generator, image_size: tuple[int, int]) -> FieldArray:
    """Return a cluttered backdrop (H, W, 3): octaves of noise, weave, blobs, lines."""
    canvas = np.empty((*image_size, 3), np.float32)
    canvas[:] = rng.uniform(60, 190, 3)
    strength = rng.uniform(10, 40)
    for cells in OCTAVES:
        canvas += smooth_noise(rng, image_size, cells, channels=3) * (strength * 3 / (cells + 3))
        canvas += smooth_noise(rng, image_size, cells) * (strength * 2 / (cells + 2))
    weave = pattern(rng, PATTERNS[rng.integers(len(PATTERNS))], image_size, rng.uniform(4, 40))
    canvas += weave[..., None] * rng.uniform(-18, 18, 3).astype(np.float32)
    _draw_blobs(rng, canvas)
    _draw_lines(rng, canvas)
    return np.clip(canvas, 0, 255)


def _draw_blobs(rng: np.random.Generator, canvas: FieldArray) -> None:
    columns, rows = pixel_grid(canvas.shape[:2])
    side = max(canvas.shape[:2])
    for _ in range(rng.integers(0, 5)):
        x, y = rng.uniform(0, side, 2)
        radius = rng.uniform(0.04, 0.20) * side
        squeeze = rng.uniform(0.5, 2)
        distance = ((columns - x) / radius) ** 2 + ((rows - y) / radius * squeeze) ** 2
        canvas += np.exp(-distance)[..., None] * rng.uniform(-45, 45, 3).astype(np.float32)


def _draw_lines(rng: np.random.Generator, canvas: FieldArray) -> None:
    height, width = canvas.shape[:2]
    for _ in range(rng.integers(0, 7)):
        ends = (rng.uniform(0, 1, (2, 2)) * (width, height)).astype(int)
        mean = canvas[height // 2, width // 2] + rng.uniform(-60, 60, 3)
        thickness = int(rng.integers(1, 3))
        cv2.line(canvas, ends[0].tolist(), ends[1].tolist(), mean.tolist(), thickness, cv2.LINE_AA)


def light(rng: np.random.Generator, image_size: tuple[int, int]) -> FieldArray:
    """Return each pixel's brightness factor (H, W, 1): a gradient, often a cast shadow."""
    columns, rows = pixel_grid(image_size)
    side = max(image_size)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
    ramp = (columns / side - 0.5) * np.cos(angle) + (rows / side - 0.5) * np.sin(angle)
    factor = rng.uniform(0.75, 1.15) * (1 + 2 * strength * ramp)
    if rng.uniform() < 0.4:
        factor = factor * _shadow(rng, image_size)
    return np.asarray(factor[..., None], np.float32)


def _shadow(rng: np.random.Generator, image_size: tuple[int, int]) -> FieldArray:
    """Return the factor (H, W) of a shadow with a soft straight edge."""
    columns, rows = pixel_grid(image_size)
    side = max(image_size)
    angle = rng.uniform(0, 2 * np.pi)
    offset, softness = rng.uniform(-0.3, 0.3) * side, rng.uniform(1, 0.06 * side)
    edge = (columns - side / 2) * np.cos(angle) + (rows - side / 2) * np.sin(angle) - offset
    depth = rng.uniform(0.2, 0.45)
    factor = 1 - depth / (1 + np.exp(np.clip(-edge / softness, -30, 30)))
    return np.asarray(factor, np.float32)
