"""Random rotation, scale, shear, translation and perspective of one image.

Matrices are (3, 3) and act on continuous pixel coordinates as columns (x, y, 1); the pixels
themselves are moved in `warp.py`.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from configs.schema.augment import AugmentSettings
from data.augment.batch.geometry import MAX_PERSPECTIVE_DEPTH, Matrix, draw_units, map_points


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """Sampled parameters of an affine; pairs are (x, y)."""

    degrees: float
    """Rotation, counter-clockwise as seen."""
    zoom: float
    shear_degrees: tuple[float, float]
    perspective: tuple[float, float]
    """Change of the projective divisor per canvas pixel from the middle."""
    shift: tuple[float, float]
    """Shares of the output's side."""

    def matrix(self, canvas_side: int, image_size: int) -> Matrix:
        """Return the map (3, 3) from a square canvas to the square output of `image_size` pixels.

        The centre of the canvas is mapped to the centre of the output, moved by `shift`. Order:
        centre, perspective, rotation and scale, shear, translation
        (docs/recipe_sources.md#augmentation).
        Ours: perspective is limited so that the horizon stays outside the canvas. The product of
        the five matrices is written out: this runs twice a sample.
        """
        depth = sum(map(abs, self.perspective)) * canvas_side / 2
        limit = min(1.0, MAX_PERSPECTIVE_DEPTH / depth) if depth else 1.0
        depth_x, depth_y = (share * limit for share in self.perspective)
        angle = math.radians(self.degrees)
        across, along = self.zoom * math.cos(angle), self.zoom * math.sin(angle)
        shear_x, shear_y = (math.tan(math.radians(each)) for each in self.shear_degrees)
        move_x, move_y = ((0.5 + share) * image_size for share in self.shift)
        rows = (
            (
                across - shear_x * along + move_x * depth_x,
                along + shear_x * across + move_x * depth_y,
                move_x,
            ),
            (
                shear_y * across - along + move_y * depth_x,
                shear_y * along + across + move_y * depth_y,
                move_y,
            ),
            (depth_x, depth_y, 1.0),
        )
        middle = canvas_side / 2
        return np.array([(x, y, constant - middle * (x + y)) for x, y, constant in rows])

    def snapped(self, point: tuple[float, float], canvas_side: int, image_size: int) -> "Affine":
        """Return the parameters shifted by half a pixel or less to put `point` on whole pixels.

        Args:
            point: (x, y) on the canvas.
            canvas_side: of the square canvas, pixels.
            image_size: side of the square output, pixels.
        """
        landing = map_points(np.array(point), self.matrix(canvas_side, image_size))
        x, y = ((np.round(landing) - landing) / image_size).tolist()
        return replace(self, shift=(self.shift[0] + x, self.shift[1] + y))


def draw_affine(settings: AugmentSettings, rng: np.random.Generator) -> Affine:
    """Sample the parameters, each uniform within its setting."""
    units = draw_units(rng)
    return Affine(
        degrees=units[0] * settings.degrees,
        zoom=1 + units[1] * settings.scale,
        shear_degrees=(units[2] * settings.shear, units[3] * settings.shear),
        perspective=(units[4] * settings.perspective, units[5] * settings.perspective),
        shift=(units[6] * settings.translate, units[7] * settings.translate),
    )


def translation(x: float, y: float) -> Matrix:
    """Return the matrix (3, 3) that moves points by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
