"""Label rows as a reader found them, and the one judge of all formats.

A reader parses text and says what it cannot parse; whether a parsed row is a box that can be used
is decided here, the same way for every format.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.label_report import Action, Decision, decide
from utils.structures.images import FloatArray, LabelArray, MaskArray

NO_AREA = "box has no area"
OUTSIDE = "box is outside the image"
TOO_FAR_OUT = "box reaches more than 1 px outside the image"
CLIPPED = "box reached up to 1 px outside the image: clipped"
NOT_FINITE = "coordinate is NaN or infinite"
DUPLICATE = "same box and class as an earlier row"
IMAGE_LEFT_OUT = "its image cannot be used"

REPAIRABLE_PX = 1.0
MAX_ROWS = 100_000
"""Rows of one image; more are no labels but another kind of file."""
ROUNDING_PX = 0.01
"""Farther outside than this is a decision; less is the rounding of decimals in the file."""


def to_float(text: str) -> float:
    """Return the number that a label file states; underscores are Python's own way of writing.

    Raises:
        ValueError: the text is no number.
    """
    if "_" in text:
        raise ValueError(f"{text!r} is no number")
    return float(text)


class RawRow(NamedTuple):
    """One parsed row. `fault` says why it cannot be parsed (all but location and value are then
    meaningless), `repair` what the reader had to change.
    """

    location: str
    value: object
    """The row as the file has it, for the report; turned into text only if reported."""
    label: int = 0
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """xyxy, pixels or shares of the image (`RawImage.is_normalised`)."""
    ignore: bool = False
    area: float = math.nan
    """Object area in pixels; NaN takes the box's."""
    fault: str = ""
    repair: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawImage:
    """One image of a split and its rows, before the image was looked at."""

    path: str
    image_id: int
    rows: Sequence[RawRow]
    label_file: str
    """File the rows come from; "" where there is none."""
    is_normalised: bool = False
    stated_size: tuple[int, int] | None = None
    """(height, width) in pixels, if the label file says."""
    fault: str = ""
    """Why the image cannot be used, where the reader knows without opening it."""


@dataclass(slots=True, kw_only=True)
class RawSplit:
    """All that a reader found: images in the order of their ids, decisions about whole files,
    and rows that belong to no image.
    """

    images: list[RawImage] = field(default_factory=list)
    notes: list[Decision] = field(default_factory=list)
    stray_rows: list[Decision] = field(default_factory=list)
    category_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRows:
    """The rows of one image that can be used; N boxes, as in `Record`."""

    boxes: FloatArray
    labels: LabelArray
    ignore: MaskArray
    area: FloatArray
    decisions: tuple[Decision, ...] = ()
    num_rejected: int = 0


def judge(image: RawImage, size: tuple[int, int]) -> JudgedRows:
    """Keep, repair or reject each row of an image of `size` = (height, width) pixels.

    A box up to 1 px outside is clipped (repaired), one farther outside is rejected: it was drawn on
    another image or in other units more often than not. Of equal boxes of a class the first stays.
    """
    if not image.rows:
        return _used(np.zeros((0, 4), np.float32), image.rows)
    boxes = np.array([row.box for row in image.rows], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        faults, clipped, overshoot = _judge_geometry(boxes, image, size)
    faults = [row.fault or fault for row, fault in zip(image.rows, faults, strict=True)]
    _mark_duplicates(faults, clipped, image.rows)
    decisions = []
    for row, fault, outside_px in zip(image.rows, faults, overshoot, strict=True):
        repairs = [row.repair] if row.repair else []
        repairs += [CLIPPED] if outside_px > ROUNDING_PX else []
        if fault or repairs:
            reason = fault or "; ".join(repairs)
            action: Action = "rejected" if fault else "repaired"
            decisions.append(decide(image.label_file, row.location, row.value, reason, action))
    kept = [index for index, fault in enumerate(faults) if not fault]
    return _used(
        clipped[kept],
        [image.rows[index] for index in kept],
        tuple(decisions),
        num_rejected=len(faults) - len(kept),
    )


def reject_all(image: RawImage) -> JudgedRows:
    """Reject every row of an image that cannot be used."""
    decisions = tuple(
        decide(image.label_file, row.location, row.value, IMAGE_LEFT_OUT, "rejected")
        for row in image.rows
    )
    return _used(np.zeros((0, 4), np.float32), [], decisions, num_rejected=len(image.rows))


def _judge_geometry(
    boxes: npt.NDArray[np.float64], image: RawImage, size: tuple[int, int]
) -> tuple[list[str], FloatArray, npt.NDArray[np.float64]]:
    height, width = size
    limits = np.array([width, height, width, height], np.float64)
    if image.is_normalised:
        boxes = boxes * limits
    overshoot = np.maximum(-boxes, boxes - limits).max(axis=1)
    clipped = boxes.clip(0, limits).astype(np.float32)
    faults = np.select(
        [
            ~np.isfinite(boxes).all(axis=1),
            (boxes[:, 2:] <= boxes[:, :2]).any(axis=1),
            ((boxes[:, 2:] <= 0) | (boxes[:, :2] >= limits[2:])).any(axis=1),
            overshoot > REPAIRABLE_PX,
            # float32 has no room between two corners this close
            (clipped[:, 2:] <= clipped[:, :2]).any(axis=1),
        ],
        [NOT_FINITE, NO_AREA, OUTSIDE, TOO_FAR_OUT, NO_AREA],
        "",
    )
    return faults.tolist(), clipped, overshoot


def _mark_duplicates(faults: list[str], boxes: FloatArray, rows: Sequence[RawRow]) -> None:
    seen: set[tuple[int, bool, bytes]] = set()
    for index, row in enumerate(rows):
        if faults[index]:
            continue
        key = (row.label, row.ignore, boxes[index].tobytes())
        if key in seen:
            faults[index] = DUPLICATE
        seen.add(key)


def _used(
    boxes: FloatArray,
    rows: Sequence[RawRow],
    decisions: tuple[Decision, ...] = (),
    num_rejected: int = 0,
) -> JudgedRows:
    area = np.array([row.area for row in rows], np.float32)
    box_area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return JudgedRows(
        boxes=boxes,
        labels=np.array([row.label for row in rows], np.int64),
        ignore=np.array([row.ignore for row in rows], np.bool_),
        area=np.where(np.isnan(area), box_area, area).astype(np.float32),
        decisions=decisions,
        num_rejected=num_rejected,
    )
