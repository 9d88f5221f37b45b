"""Layout of a scene before rendering: shapes, overlap, visible parts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.synthetic.shapes import (
    CLASS_OUTLINES,
    DISTRACTOR_OUTLINES,
    CoverageArray,
    coverage,
    place_outline,
)
from utils.structures.images import MaskArray

DISTRACTOR = -1
"""Label of a thing that is of no class."""

MIN_SIZE_PX = 18.0
MAX_SIZE_RATIO = 0.5
MAX_OBJECTS = 12
MEAN_OBJECTS = 4.5
EMPTY_PROB = 0.03
HEAD_TO_TAIL_RATIO = 4.0
MIN_VISIBLE_RATIO = 0.85
PLACEMENT_TRIES = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """One object or distractor of a scene; a later thing lies over the earlier ones.

    coverage (H, W) share of each pixel inside the outline, hidden parts included; visible (H, W):
    the pixels, at least half covered, that no later thing covers; size_px its longer side.
    """

    label: int
    size_px: float
    coverage: CoverageArray
    visible: MaskArray


def class_probs(num_classes: int) -> npt.NDArray[np.float64]:
    """Return a geometric series of sum 1 whose first is HEAD_TO_TAIL_RATIO times its last."""
    if num_classes == 1:
        return np.ones(1)
    weights = HEAD_TO_TAIL_RATIO ** -np.linspace(0, 1, num_classes)
    return np.asarray(weights / weights.sum())


def visible_box(visible: MaskArray) -> tuple[int, int, int, int]:
    """Return the xyxy pixel edges around the set pixels of `visible` (H, W), at least one."""
    rows = np.flatnonzero(visible.any(axis=1))
    columns = np.flatnonzero(visible.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def arrange(rng: np.random.Generator, image_size: tuple[int, int], num_classes: int) -> list[Thing]:
    """Return the things of one scene from back to front.

    A thing that finds no place in PLACEMENT_TRIES tries is left out: nothing is placed with less
    than MIN_VISIBLE_RATIO of itself in the image and in sight, nor hides another below that.
    """
    if rng.uniform() < EMPTY_PROB:
        num_objects = 0
    else:
        num_objects = min(1 + rng.poisson(MEAN_OBJECTS - 1), MAX_OBJECTS)
    labels = rng.choice(num_classes, size=num_objects, p=class_probs(num_classes)).tolist()
    labels += [DISTRACTOR] * int(rng.integers(0, 4))
    rng.shuffle(labels)
    things: list[Thing] = []
    for label in labels:
        things = _place(rng, things, label, image_size)
    return things


def _place(
    rng: np.random.Generator, things: list[Thing], label: int, image_size: tuple[int, int]
) -> list[Thing]:
    """Return `things` with one more, on top, or unchanged where there is no room for it."""
    for _ in range(PLACEMENT_TRIES):
        placed, whole_area = _throw(rng, label, image_size)
        if placed.visible.sum() < MIN_VISIBLE_RATIO * whole_area:
            continue
        below = [
            Thing(
                label=thing.label,
                size_px=thing.size_px,
                coverage=thing.coverage,
                visible=thing.visible & ~placed.visible,
            )
            for thing in things
        ]
        if all(_is_in_sight(thing) for thing in below):
            return [*below, placed]
    return things


def _throw(
    rng: np.random.Generator, label: int, image_size: tuple[int, int]
) -> tuple[Thing, float]:
    """Return a thing of random size, turn and place, and its area with what lies outside."""
    side = max(image_size)
    largest = MAX_SIZE_RATIO * side
    smallest = MIN_SIZE_PX if label != DISTRACTOR else 0.1 * side
    size_px = smallest * (largest / smallest) ** rng.beta(3.0, 1.8)
    height, width = image_size
    center = (rng.uniform(0, width), rng.uniform(0, height))
    outlines = DISTRACTOR_OUTLINES if label == DISTRACTOR else CLASS_OUTLINES
    names = tuple(outlines)
    name = names[rng.integers(len(names))] if label == DISTRACTOR else names[label]
    transform = _random_transform(rng) * (size_px / 2)
    outline = place_outline(outlines[name], center, transform)
    covered = coverage(outline, image_size)
    thing = Thing(label=label, size_px=size_px, coverage=covered, visible=covered >= 0.5)
    return thing, _area(outline)


def _random_transform(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    turn, lean = rng.uniform(0, 2 * np.pi, 2)
    squeeze = np.diag((1.0, rng.uniform(0.72, 1)))
    return _rotation(lean) @ squeeze @ _rotation(turn)


def _rotation(angle: float) -> npt.NDArray[np.float64]:
    return np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])


def _area(outline: tuple[npt.NDArray[np.float64], ...]) -> float:
    """Return the area of the outer contour less its holes (shoelace formula), square pixels."""
    areas = [
        abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
        for x, y in (contour.T for contour in outline)
    ]
    return float(areas[0] - sum(areas[1:]))


def _is_in_sight(thing: Thing) -> bool:
    return bool(thing.visible.sum() >= MIN_VISIBLE_RATIO * (thing.coverage >= 0.5).sum())
