"""Boxes with legible labels on a picture, for people to look at."""

import base64
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]

PALETTE = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (148, 103, 189),
    (140, 86, 75),
    (188, 160, 0),
    (200, 30, 60),
)
"""RGB; the first six are Okabe and Ito's colours, told apart by colour-blind readers too."""


def draw_boxes(
    image: Picture,
    boxes: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    scores: npt.NDArray[np.float32] | None = None,
) -> Picture:
    """Return a copy of `image` (H, W, 3) RGB with boxes (N, 4) xyxy pixels and their names.

    Line width and text grow with the image, text is black or white, whichever stands out, and
    stays inside the image. The worst score is drawn first, so the best lies on top.
    """
    canvas = image.copy()
    unit = max(canvas.shape[:2])
    thickness = max(1, round(unit / 400))
    order = range(len(boxes)) if scores is None else np.argsort(scores, kind="stable")
    for index in order:
        color = PALETTE[int(labels[index]) % len(PALETTE)]
        x1, y1, x2, y2 = (round(float(v)) for v in boxes[index])
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, thickness, cv2.LINE_AA)
        name = class_names[int(labels[index])]
        text = name if scores is None else f"{name} {scores[index]:.2f}"
        _draw_tag(canvas, text, (x1, y1), color, scale=max(0.35, unit / 1400))
    return canvas


def _draw_tag(
    canvas: Picture, text: str, corner: tuple[int, int], color: tuple[int, int, int], scale: float
) -> None:
    thickness = max(1, round(scale * 1.5))
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    left = max(0, min(corner[0], canvas.shape[1] - width))
    bottom = max(height + base, corner[1])
    luminance = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
    ink = (0, 0, 0) if luminance > 140 else (255, 255, 255)
    cv2.rectangle(canvas, (left, bottom - height - base), (left + width, bottom), color, cv2.FILLED)
    origin = (left, bottom - base // 2 - 1)
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thickness, cv2.LINE_AA)


def shrink_to(picture: Picture, side: int) -> tuple[Picture, float]:
    """Return `picture` (H, W, 3) with its long side at most `side` pixels, and the scale used."""
    scale = min(1.0, side / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    size_wh = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8), scale


def side_by_side(pictures: Sequence[Picture], gap: int = 4) -> Picture:
    """Return pictures (H, W, 3) of equal height next to each other on white."""
    height = max(picture.shape[0] for picture in pictures)
    columns: list[Picture] = []
    for picture in pictures:
        column = np.full((height, picture.shape[1] + gap, 3), 255, np.uint8)
        column[: picture.shape[0], : picture.shape[1]] = picture
        columns.append(column)
    return np.concatenate(columns, axis=1)[:, :-gap] if gap else np.concatenate(columns, axis=1)


def encode_jpeg(picture: Picture, quality: int = 88) -> bytes:
    """Return `picture` (H, W, 3) RGB as JPEG bytes."""
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError(f"picture of shape {picture.shape} could not be encoded")
    return data.tobytes()


def data_uri(jpeg: bytes) -> str:
    """Return JPEG bytes as a URI that stands in a page without a file beside it."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
