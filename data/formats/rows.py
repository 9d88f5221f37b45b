"""Label rows from the readers, and their validation.

A reader parses text and reports what it cannot parse; whether a parsed row is a usable box is
decided here, the same way for every format.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from data.formats.label_report import Action, Decision, decide
from utils.structures.images import FloatArray, LabelArray, MaskArray

NO_AREA = "box has no area"
OUTSIDE = "box is outside the image"
TOO_FAR_OUT = "box reaches more than 1 px outside the image"
MOSTLY_OUT = "too little of the box is within the image (data.min_inside)"
CUT = "box reached outside the image: clipped"
CLIPPED = "box reached up to 1 px outside the image: clipped"
NOT_FINITE = "coordinate is NaN or infinite"
DUPLICATE = "same box and class as an earlier row: used once"
IMAGE_LEFT_OUT = "its image cannot be used"

REPAIRABLE_PX = 1.0
MAX_ROWS = 100_000
"""Maximum number of rows of one image; a file with more is not a label file."""
ROUNDING_PX = 0.01
"""Distance outside the image, px, up to which it is rounding of decimals in the file."""


def to_float(text: str) -> float:
    """Return the number in a label file; the underscores of Python are not accepted.

    Raises:
        ValueError: the text is not a number.
    """
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
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
    """One image of a split and its rows, before the image is opened."""

    path: str
    image_id: int
    rows: Sequence[RawRow]
    label_file: str
    """File the rows come from; "" where there is none."""
    is_normalised: bool = False
    stated_size: tuple[int, int] | None = None
    """(height, width) in pixels of the frame of the boxes, if the label file has it."""
    fault: str = ""
    """Why the image cannot be used, if the reader knows without opening it."""


@dataclass(slots=True, kw_only=True)
class RawSplit:
    """Result of a reader: images by ascending id, decisions on files, and rows without an image."""

    images: list[RawImage] = field(default_factory=list)
    notes: list[Decision] = field(default_factory=list)
    stray_rows: list[Decision] = field(default_factory=list)
    hint: str = ""
    """Common cause of most rejected rows, set by the reader."""
    refusal: str = ""
    """Why the split must not be trained on, however few rows are rejected; "" where it may."""
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
    num_dropped: int = 0
    """Copies of other rows."""


class BorderPolicy(NamedTuple):
    """Policy for a box that reaches more than 1 px out of its image."""

    outside: Literal["clip", "ignore", "reject"] = "clip"
    min_inside: float = 0.3
    """Share of the box's area within the image from which on it is clipped."""


_CLIP = BorderPolicy()


def judge(image: RawImage, size: tuple[int, int], policy: BorderPolicy = _CLIP) -> JudgedRows:
    """Keep, repair or reject each row of an image of `size` = (height, width) pixels.

    A box up to 1 px outside is clipped (repaired), one farther outside is treated as `policy` says.
    Of equal boxes of a class the first stays; the others are repaired away.
    """
    if not image.rows:
        return _used(np.zeros((0, 4), np.float32), image.rows)
    boxes = np.array([row.box for row in image.rows], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        faults, clipped, overshoot, is_neutral = _judge_geometry(boxes, image, size, policy)
    faults = [row.fault or fault for row, fault in zip(image.rows, faults, strict=True)]
    rows = [
        row._replace(ignore=True) if neutral else row
        for row, neutral in zip(image.rows, is_neutral, strict=True)
    ]
    is_copy = _find_duplicates(faults, clipped, rows)
    decisions = []
    for row, fault, outside_px, copy in zip(rows, faults, overshoot, is_copy, strict=True):
        reason = fault or _repairs(row, outside_px, copy)
        if reason:
            action: Action = "rejected" if fault else "repaired"
            decisions.append(decide(image.label_file, row.location, row.value, reason, action))
    kept = [index for index, fault in enumerate(faults) if not fault and not is_copy[index]]
    num_dropped = sum(is_copy)
    return _used(
        clipped[kept],
        [rows[index] for index in kept],
        tuple(decisions),
        num_rejected=len(faults) - len(kept) - num_dropped,
        num_dropped=num_dropped,
    )


def _repairs(row: RawRow, outside_px: float, is_copy: bool) -> str:
    """Return what had to be changed for a row to be used; "" where nothing had."""
    repairs = [row.repair] if row.repair else []
    if outside_px > REPAIRABLE_PX:
        repairs.append(CUT)
    elif outside_px > ROUNDING_PX:
        repairs.append(CLIPPED)
    return "; ".join(repairs + [DUPLICATE] * is_copy)


def reject_all(image: RawImage) -> JudgedRows:
    """Reject every row of an image that cannot be used."""
    decisions = tuple(
        decide(image.label_file, row.location, row.value, IMAGE_LEFT_OUT, "rejected")
        for row in image.rows
    )
    return _used(np.zeros((0, 4), np.float32), [], decisions, num_rejected=len(image.rows))


def _judge_geometry(
    boxes: npt.NDArray[np.float64],
    image: RawImage,
    size: tuple[int, int],
    policy: BorderPolicy,
) -> tuple[list[str], FloatArray, npt.NDArray[np.float64], MaskArray]:
    """Return fault, clipped box, pixels outside and whether to ignore it, for each row."""
    height, width = size
    limits = np.array([width, height, width, height], np.float64)
    if image.is_normalised:
        boxes = boxes * limits
    overshoot = np.maximum(-boxes, boxes - limits).max(axis=1)
    clipped = boxes.clip(0, limits).astype(np.float32)
    has_area = (clipped[:, 2:] > clipped[:, :2]).all()
    if np.isfinite(boxes).all() and overshoot.max() <= 0 and has_area:
        # As nearly all images have it; the choice below would cost most of the reading time.
        return [""] * len(boxes), clipped, overshoot, np.zeros(len(boxes), np.bool_)
    is_out = overshoot > REPAIRABLE_PX
    is_mostly_out = is_out & (_areas(boxes.clip(0, limits)) < policy.min_inside * _areas(boxes))
    faults = np.select(
        [
            ~np.isfinite(boxes).all(axis=1),
            (boxes[:, 2:] <= boxes[:, :2]).any(axis=1),
            ((boxes[:, 2:] <= 0) | (boxes[:, :2] >= limits[2:])).any(axis=1),
            is_out & (policy.outside == "reject"),
            is_mostly_out & (policy.outside == "clip"),
            # float32 has no room between two corners this close
            (clipped[:, 2:] <= clipped[:, :2]).any(axis=1),
        ],
        [NOT_FINITE, NO_AREA, OUTSIDE, TOO_FAR_OUT, MOSTLY_OUT, NO_AREA],
        "",
    )
    return faults.tolist(), clipped, overshoot, is_mostly_out


def _areas(boxes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _find_duplicates(
    faults: Sequence[str], boxes: FloatArray, rows: Sequence[RawRow]
) -> list[bool]:
    """Tell for each row whether it repeats an earlier one that can be used."""
    seen: set[tuple[int, bool, bytes]] = set()
    is_copy = []
    for row, fault, box in zip(rows, faults, boxes, strict=True):
        key = (row.label, row.ignore, box.tobytes())
        is_copy.append(not fault and key in seen)
        if not fault:
            seen.add(key)
    return is_copy


def _used(
    boxes: FloatArray,
    rows: Sequence[RawRow],
    decisions: tuple[Decision, ...] = (),
    num_rejected: int = 0,
    num_dropped: int = 0,
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
        num_dropped=num_dropped,
    )
