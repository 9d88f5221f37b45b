"""One generated scene: objects are arranged, rendered from back to front, lit, and labelled."""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from data.synthetic.layout import DISTRACTOR, Thing, arrange, visible_box
from data.synthetic.shapes import CLASS_OUTLINES
from data.synthetic.textures import PATTERNS, FieldArray, background, light, pattern, pixel_grid
from utils.structures.images import FloatArray, ImageArray, LabelArray, MaskArray

CLASS_NAMES = tuple(CLASS_OUTLINES)
"""What can be drawn, most frequent first."""

ASPECT_RATIOS = (1.0, 1.0, 0.75, 4 / 3)
MIN_CONTRAST = 110.0
COLOR_TRIES = 30
TYPICAL_HUE_PROB = 0.9
HUE_SPREAD = 18.0
"""Degrees; the hues of two classes are 60 apart."""
BEHIND_SAMPLES = 64
SHADOW_REACH_RATIO = 0.06


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A generated image and all that is known about it.

    image (H, W, 3) uint8 RGB; masks (N, H, W) bool: the visible pixels of each object; boxes (N, 4)
    float32 xyxy pixels: the edges of those masks; labels (N,) class indices. N may be 0.
    """

    image: ImageArray
    masks: MaskArray
    boxes: FloatArray
    labels: LabelArray


def render_scene(rng: np.random.Generator, *, side: int, num_classes: int) -> Scene:
    """Return a random scene of the first `num_classes` classes; its longer side is `side` px."""
    image_size = _random_size(rng, side)
    things = arrange(rng, image_size, num_classes)
    canvas = background(rng, image_size)
    for thing in things:
        paint(rng, canvas, thing)
    canvas *= light(rng, image_size)
    objects = [thing for thing in things if thing.label != DISTRACTOR]
    boxes = [visible_box(thing.visible) for thing in objects]
    masks = np.zeros((len(objects), *image_size), np.bool_)
    for mask, thing in zip(masks, objects, strict=True):
        mask[:] = thing.visible
    return Scene(
        image=_photograph(rng, canvas),
        masks=masks,
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        labels=np.asarray([thing.label for thing in objects], np.int64),
    )


def _random_size(rng: np.random.Generator, side: int) -> tuple[int, int]:
    ratio = ASPECT_RATIOS[rng.integers(len(ASPECT_RATIOS))]
    return (side, round(side * ratio)) if ratio <= 1 else (round(side / ratio), side)


def paint(rng: np.random.Generator, canvas: FieldArray, thing: Thing) -> None:
    """Paint the thing over the canvas (H, W, 3), in place, with a soft shadow beneath it."""
    window = _surroundings(thing)
    canvas = canvas[window]
    thing = replace(thing, coverage=thing.coverage[window], visible=thing.visible[window])
    _cast_shadow(rng, canvas, thing)
    alpha = thing.coverage[..., None]
    surface = _surface(rng, canvas, thing)
    canvas *= 1 - alpha
    canvas += surface * alpha


def _surroundings(thing: Thing) -> tuple[slice, slice]:
    """Return rows and columns of the thing and its shadow; painting the whole image is slow."""
    x1, y1, x2, y2 = visible_box(thing.coverage > 0)
    margin = math.ceil(3 * SHADOW_REACH_RATIO * thing.size_px) + 2
    return slice(max(y1 - margin, 0), y2 + margin), slice(max(x1 - margin, 0), x2 + margin)


def _cast_shadow(rng: np.random.Generator, canvas: FieldArray, thing: Thing) -> None:
    reach = SHADOW_REACH_RATIO * thing.size_px
    shift = rng.uniform(-reach, reach, 2)
    depth = rng.uniform(0, 0.5)
    height, width = canvas.shape[:2]
    move = np.array([(1, 0, shift[0]), (0, 1, shift[1])])
    moved = cv2.warpAffine(thing.coverage, move, (width, height))
    shadow = cv2.GaussianBlur(moved, (0, 0), sigmaX=max(0.8, reach / 2))
    canvas *= 1 - depth * shadow[..., None]


def _surface(rng: np.random.Generator, canvas: FieldArray, thing: Thing) -> FieldArray:
    """Return the thing's colours (H, W, 3): two tones of one hue in a pattern, shaded, rimmed."""
    image_size = canvas.shape[:2]
    behind = canvas[thing.coverage > 0]
    color = _contrasting_color(rng, _color_tries(rng, thing.label), behind)
    other = _other_tone(rng, color, behind.mean(axis=0))
    name = PATTERNS[rng.integers(len(PATTERNS))]
    period = max(4.0, thing.size_px * rng.uniform(0.15, 0.4))
    weights = pattern(rng, name, image_size, period)[..., None]
    surface = color * (1 - weights) + other * weights
    shaded = surface * _shading(rng, thing, image_size)
    return np.asarray(np.clip(shaded, 0, 255), np.float32)


def _color_tries(rng: np.random.Generator, label: int) -> FieldArray:
    """Return colours (COLOR_TRIES, 3) that a thing may have.

    Most objects have a hue typical of their class, as tomatoes have; the others, and all
    distractors, have any colour, so that hue helps to tell a class but does not decide.
    """
    if label == DISTRACTOR or rng.uniform() > TYPICAL_HUE_PROB:
        return np.asarray(rng.uniform(10, 250, (COLOR_TRIES, 3)), np.float32)
    hue = label * 360 / len(CLASS_OUTLINES) + rng.uniform(-HUE_SPREAD, HUE_SPREAD, COLOR_TRIES)
    saturation = rng.uniform(0.55, 1, COLOR_TRIES)
    value = rng.uniform(0.4, 1, COLOR_TRIES)
    hsv = np.stack((hue % 360, saturation, value), axis=1).astype(np.float32)
    return np.asarray(cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0] * 255, np.float32)


def _contrasting_color(
    rng: np.random.Generator, tries: FieldArray, behind: FieldArray
) -> FieldArray:
    """Return the first of tries (T, 3) far from most of the pixels (P, 3) behind, or the farthest.

    Most, not their mean: on two things of different colours the mean is neither.
    """
    samples = behind[rng.integers(len(behind), size=BEHIND_SAMPLES)]
    distances = np.quantile(np.linalg.norm(tries[:, None] - samples, axis=2), 0.1, axis=1)
    enough = np.flatnonzero(distances >= MIN_CONTRAST)
    chosen = enough[0] if len(enough) else int(distances.argmax())
    return np.asarray(tries[chosen], np.float32)


def _other_tone(rng: np.random.Generator, color: FieldArray, behind: FieldArray) -> FieldArray:
    """Return a second tone no nearer to the background, or holes would be seen for stripes."""
    away = (color - behind) / max(float(np.linalg.norm(color - behind)), 1e-6)
    tone = color + away * rng.uniform(10, 70) + rng.uniform(-30, 30, 3)
    return np.asarray(np.clip(tone, 0, 255), np.float32)


def _shading(rng: np.random.Generator, thing: Thing, image_size: tuple[int, int]) -> FieldArray:
    columns, rows = pixel_grid(image_size)
    x1, y1, x2, y2 = visible_box(thing.visible)
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.25)
    across = (columns - (x1 + x2) / 2) * np.cos(angle) + (rows - (y1 + y2) / 2) * np.sin(angle)
    factor = 1 + strength * np.clip(across * 2 / thing.size_px, -1, 1)
    return np.asarray(factor[..., None], np.float32)


def _photograph(rng: np.random.Generator, canvas: FieldArray) -> ImageArray:
    """Simulate a camera: slightly out of focus, noisy, 8 bit."""
    blur = rng.uniform(0, 0.8)
    if blur > 0.3:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), sigmaX=blur), np.float32)
    noise = rng.standard_normal(canvas.shape, dtype=np.float32) * rng.uniform(1, 6)
    return np.clip(canvas + noise + 0.5, 0, 255).astype(np.uint8)
