"""Boxes with legible labels on a picture, for people to look at."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

FONT = cv2.FONT_HERSHEY_SIMPLEX
SMALLEST_TEXT = 0.35
MARGIN = 4
"""Pixels between a text of scale 1 and the edge of its patch, at least 2."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How boxes are drawn."""

    line_width: int | None = None
    """Pixels; None grows with the picture."""
    has_names: bool = True
    has_scores: bool = True
    """Scores stand beside names only."""


DEFAULT_STYLE = Style()


def draw_boxes(
    image: Picture,
    boxes: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    class_names: Sequence[str],
    scores: npt.NDArray[np.float32] | None = None,
    style: Style = DEFAULT_STYLE,
) -> Picture:
    """Return a copy of `image` (H, W, 3) RGB with boxes (N, 4) xyxy pixels and their names.

    Text grows with the image, and so do lines of no stated width. Names stand where they hide no
    other name and, of such places at their box, where they cover least of other objects; the best
    score chooses first and lies on top.
    """
    canvas: Picture = image.copy()
    unit = max(canvas.shape[:2])
    thickness = style.line_width or max(1, round(unit / 400))
    best_first = range(len(boxes)) if scores is None else np.argsort(-scores, kind="stable")
    corners = np.round(boxes).astype(int).tolist()
    tags: list[_Tag] = []
    for index in best_first:
        label = int(labels[index])
        score = None if scores is None or not style.has_scores else float(scores[index])
        tag = _Tag.fitting(class_names[label], score, canvas, color_of(label))
        objects = np.array([c for i, c in enumerate(corners) if i != index]).reshape(-1, 4)
        tags.append(tag.placed(corners[index], tags, canvas, objects))
    for index, tag in reversed(list(zip(best_first, tags, strict=True))):
        x1, y1, x2, y2 = corners[index]
        cv2.rectangle(canvas, (x1, y1), (x2, y2), tag.color, thickness, cv2.LINE_AA)
    for tag in reversed(tags if style.has_names else []):
        tag.draw(canvas)
    return canvas


def color_of(label: int) -> Color:
    """Return the RGB colour of a class."""
    return PALETTE[label % len(PALETTE)]


LONGEST_NAME = 60
"""Letters of a name on a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tag:
    """A name on a patch of colour; `left`, `top`, `width`, `height` in pixels."""

    text: str
    color: Color
    scale: float
    thickness: int
    width: int
    height: int
    base: int
    margin: int
    left: int = 0
    top: int = 0

    @classmethod
    def fitting(cls, name: str, score: float | None, canvas: Picture, color: Color) -> "_Tag":
        """Return the tag with name and score, or with the name alone where both are too wide."""
        scale = max(SMALLEST_TEXT, max(canvas.shape[:2]) / 1400)
        thickness = max(1, round(scale * 1.5))
        margin = max(2, round(scale * MARGIN))
        # OpenCV draws ASCII only, and a half character ends the process.
        name = name[:LONGEST_NAME].encode("ascii", "replace").decode("ascii")
        name = "".join(letter if letter.isprintable() else "?" for letter in name)
        texts = [name] if score is None else [f"{name} {score:.2f}", name]
        for text in texts:
            (width, height), base = cv2.getTextSize(text, FONT, scale, thickness)
            if width + 2 * margin <= canvas.shape[1]:
                break
        return cls(
            text=text,
            color=color,
            scale=scale,
            thickness=thickness,
            width=width + 2 * margin,
            height=height + base + margin,
            base=base,
            margin=margin,
        )

    def placed(
        self,
        box: Sequence[int],
        others: "Sequence[_Tag]",
        canvas: Picture,
        objects: npt.NDArray[np.int64],
    ) -> "_Tag":
        """Return the tag at the corner of `box` where it hides least of `others`, and of those
        places the one that covers least of other `objects` (N, 4) xyxy.

        Tried in order: above the box, below it, inside; each flush left, then flush right.
        """
        x1, y1, x2, y2 = box
        right = max(0, canvas.shape[1] - self.width)
        bottom = max(0, canvas.shape[0] - self.height)
        places = [
            (min(max(left, 0), right), min(max(top, 0), bottom))
            for top in (y1 - self.height, y2, y1)
            for left in (x1, x2 - self.width)
        ]
        taken = np.array([(o.left, o.top, o.width, o.height) for o in others]).reshape(-1, 4)
        sizes = np.concatenate([objects[:, :2], objects[:, 2:] - objects[:, :2]], axis=1)
        left, top = min(
            places, key=lambda place: (self._hidden(place, taken), self._hidden(place, sizes))
        )
        return replace(self, left=left, top=top)

    def _hidden(self, place: tuple[int, int], taken: npt.NDArray[np.int64]) -> int:
        """Return how many pixels of `taken` (N, 4), left, top, width and height of tags or
        objects, the tag would hide at (left, top).
        """
        start = np.maximum(place, taken[:, :2])
        end = np.minimum(np.add(place, (self.width, self.height)), taken[:, :2] + taken[:, 2:])
        return int((end - start).clip(min=0).prod(axis=1).sum())

    def draw(self, canvas: Picture) -> None:
        """Draw onto `canvas`, in black or white, whichever stands out."""
        luminance = float(np.dot((0.299, 0.587, 0.114), self.color))
        ink = (0, 0, 0) if luminance > 140 else (255, 255, 255)
        corner = (self.left + self.width - 1, self.top + self.height - 1)
        cv2.rectangle(canvas, (self.left, self.top), corner, self.color, cv2.FILLED)
        origin = (self.left + self.margin, self.top + self.height - self.base - self.margin // 2)
        cv2.putText(canvas, self.text, origin, FONT, self.scale, ink, self.thickness, cv2.LINE_AA)


def shrink_to(picture: Picture, side: int) -> tuple[Picture, float]:
    """Return `picture` (H, W, 3) with its long side at most `side` pixels, and the scale used."""
    scale = min(1.0, side / max(picture.shape[:2]))
    if scale == 1.0:
        return picture, scale
    size_wh = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
    return np.asarray(cv2.resize(picture, size_wh, interpolation=cv2.INTER_AREA), np.uint8), scale


def enlarge_to(picture: Picture, side: int) -> tuple[Picture, int]:
    """Return `picture` (H, W, 3) enlarged by the whole factor that brings it to `side` pixels."""
    factor = -(-side // max(picture.shape[:2]))
    if factor <= 1:
        return picture, 1
    size_wh = (picture.shape[1] * factor, picture.shape[0] * factor)
    larger = cv2.resize(picture, size_wh, interpolation=cv2.INTER_CUBIC)
    return np.asarray(larger, np.uint8), factor


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
