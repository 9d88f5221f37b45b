"""Outlines of the objects in a scene, and their coverage of each pixel."""

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Outline: TypeAlias = tuple[npt.NDArray[np.float64], ...]
"""Closed contours, (P, 2) xy each, within the unit circle; an inner contour is a hole."""

CoverageArray: TypeAlias = npt.NDArray[np.float32]

SUBPIXEL_BITS = 4
SUPERSAMPLING = 8


def _regular(corners: int, radius: float = 1.0) -> npt.NDArray[np.float64]:
    angles = np.arange(corners) * (2 * np.pi / corners) - np.pi / 2
    return radius * np.stack((np.cos(angles), np.sin(angles)), axis=1)


def _cross(arm: float) -> npt.NDArray[np.float64]:
    reach = np.sqrt(1 - arm**2)
    quarter = np.array([(arm, arm), (arm, reach), (-arm, reach)])
    turn = np.array([(0.0, 1.0), (-1.0, 0.0)])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


def _star(points: int, inner_radius: float) -> npt.NDArray[np.float64]:
    corners = _regular(2 * points)
    corners[1::2] *= inner_radius
    return corners


def _crescent() -> npt.NDArray[np.float64]:
    angles = np.linspace(0.25 * np.pi, 1.75 * np.pi, 48)
    outer = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    inner = np.stack((0.30 + 0.70 * np.cos(angles), 0.80 * np.sin(angles)), axis=1)
    return np.concatenate((outer, inner[::-1]))


def _polyline(*corners: tuple[float, float]) -> npt.NDArray[np.float64]:
    return np.array(corners, dtype=np.float64)


CLASS_OUTLINES: dict[str, Outline] = {
    "disc": (_regular(96),),
    "ring": (_regular(96), _regular(96, radius=0.56)),
    "box": (_regular(4),),
    "cross": (_cross(arm=0.24),),
    "triangle": (_regular(3),),
    "star": (_star(points=5, inner_radius=0.45),),
}
"""The classes, most frequent first."""

DISTRACTOR_OUTLINES: dict[str, Outline] = {
    "crescent": (_crescent(),),
    "bar": (_polyline((-0.98, -0.14), (0.98, -0.14), (0.98, 0.14), (-0.98, 0.14)),),
    "angle": (
        _polyline((-0.7, -0.7), (-0.3, -0.7), (-0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (-0.7, 0.7)),
    ),
    "bolt": (
        _polyline((0.1, -0.95), (-0.6, 0.1), (-0.05, 0.1), (-0.2, 0.95), (0.6, -0.2), (0.1, -0.2)),
    ),
}
"""Distractors of no class: look like an object but must not be detected."""


def place_outline(
    outline: Outline, center: tuple[float, float], transform: npt.NDArray[np.float64]
) -> Outline:
    """Return the outline in image pixels.

    Args:
        outline: contours within the unit circle.
        center: (x, y) pixels, of the origin of the outline.
        transform: (2, 2) from unit coordinates to pixels: size, rotation, squeeze and shear.
    """
    return tuple(contour @ transform.T + np.asarray(center) for contour in outline)


def coverage(outline: Outline, image_size: tuple[int, int]) -> CoverageArray:
    """Return the share of each pixel that lies inside the outline: (H, W), 0 to 1.

    Contours are filled even-odd. Pixel (row, column) covers [column, column + 1) x [row, row + 1).
    Only the outline's surroundings are drawn, at SUPERSAMPLING times the resolution, and averaged.
    """
    height, width = image_size
    covered = np.zeros((height, width), np.float32)
    points = np.concatenate(outline)
    left, top = np.clip(np.floor(points.min(axis=0)), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0)), 0, (width, height)).astype(int)
    if left >= right or top >= bottom:
        return covered
    fine = np.zeros(((bottom - top) * SUPERSAMPLING, (right - left) * SUPERSAMPLING), np.uint8)
    # cv2 puts integer coordinates at pixel centres, so a corner at 0 lies half a fine pixel before.
    contours = [
        np.round(((contour - (left, top)) * SUPERSAMPLING - 0.5) * 2**SUBPIXEL_BITS).astype(
            np.int32
        )
        for contour in outline
    ]
    cv2.fillPoly(fine, contours, color=255, shift=SUBPIXEL_BITS)
    window = cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    covered[top:bottom, left:right] = window.astype(np.float32) / 255
    return covered
