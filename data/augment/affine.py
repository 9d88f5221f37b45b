"""Random rotation, scale, shear, translation and perspective, and what it does to boxes.

Matrices are (3, 3) and act on continuous pixel coordinates as columns (x, y, 1); the pixels
themselves are moved in `warp.py`.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from configs.schema.augment import AugmentSettings
from data.augment.layout import Matrix
from utils.structures.images import FloatArray, MaskArray

Points = npt.NDArray[np.float64]

MIN_SIDE = 2.0
"""A box whose width or height is not above this many pixels after the change is dropped."""
MIN_AREA_RATIO = 0.1
"""A box that keeps no more than this share of its area is dropped."""
MAX_ASPECT = 100.0
"""A box this much longer than wide is dropped."""
MAX_PERSPECTIVE_DEPTH = 0.8
"""Largest change of the projective divisor over the canvas; at 1 the horizon enters the image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """A map of canvas pixels to output pixels; `zoom` is its drawn scale."""

    matrix: Matrix
    zoom: float


def draw_affine(
    settings: AugmentSettings, canvas_side: int, image_size: int, rng: np.random.Generator
) -> Affine:
    """Draw the map from a square canvas to the square output of `image_size` pixels.

    The middle of the canvas lands in the middle of the output, moved by the drawn translation.
    Order: centre, perspective, rotation and scale, shear, translation. Source: SPEC 2B.10; our
    deviation: perspective is limited so that the horizon stays outside the canvas.
    """
    perspective_x, perspective_y = rng.uniform(-1, 1, 2) * settings.perspective
    angle = rng.uniform(-1, 1) * settings.degrees
    zoom = 1 + rng.uniform(-1, 1) * settings.scale
    shear_x, shear_y = np.tan(np.radians(rng.uniform(-1, 1, 2) * settings.shear))
    move_x, move_y = (0.5 + rng.uniform(-1, 1, 2) * settings.translate) * image_size

    depth = (abs(perspective_x) + abs(perspective_y)) * canvas_side / 2
    limit = min(1.0, MAX_PERSPECTIVE_DEPTH / depth) if depth else 1.0
    centre = translation(-canvas_side / 2, -canvas_side / 2)
    perspective = np.eye(3)
    perspective[2, :2] = perspective_x * limit, perspective_y * limit
    rotation = np.eye(3)
    rotation[:2] = cv2.getRotationMatrix2D((0, 0), angle, zoom)
    shear = np.eye(3)
    shear[0, 1], shear[1, 0] = shear_x, shear_y
    matrix = translation(move_x, move_y) @ shear @ rotation @ perspective @ centre
    return Affine(matrix=matrix, zoom=zoom)


def translation(x: float, y: float) -> Matrix:
    """Return the matrix (3, 3) that moves points by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def map_points(points: npt.NDArray[np.floating], matrix: Matrix) -> Points:
    """Return points (..., 2) mapped by `matrix`, in front of its horizon."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped[..., :2] / mapped[..., 2:]


def map_boxes(boxes: FloatArray, matrix: Matrix) -> FloatArray:
    """Return the smallest upright boxes (N, 4) around the mapped corners of `boxes` (N, 4)."""
    corners = map_points(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2), matrix)
    return np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1).astype(np.float32)


def survivors(before: FloatArray, after: FloatArray, zoom: float) -> MaskArray:
    """Return which boxes (N,) are still worth learning after a change and clipping.

    `before` (N, 4) in canvas pixels, `after` (N, 4) in output pixels, row by row the same boxes.
    """
    size_before, size_after = before[:, 2:] - before[:, :2], after[:, 2:] - after[:, :2]
    area_before = size_before.prod(axis=1) * zoom**2
    shortest, longest = size_after.min(axis=1), size_after.max(axis=1)
    keep: MaskArray = shortest > MIN_SIDE
    keep &= size_after.prod(axis=1) > MIN_AREA_RATIO * area_before
    keep &= longest < MAX_ASPECT * shortest
    return keep
