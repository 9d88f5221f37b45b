"""Classes that look like another class of another split: ids swapped, or all shifted by one.

Two classes are compared by their boxes: size, shape and height in the image. The statistic is the
largest difference between two cumulative distributions (Kolmogorov and Smirnov), averaged over the
three; images, not boxes, count as draws, since boxes of one image are alike. A finding needs each
of the classes to differ from *itself* in the other split at a level of 1 in 10,000, *and* to agree
at least twice as well with the other class. Classes whose boxes look alike in the first place can
therefore never be told; that is the price of few false alarms.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from data.doctor.finding import Finding, found
from data.doctor.subject import SplitTable, Subject

FEWEST_BOXES, FEWEST_IMAGES = 30, 20
LEVEL = 1e-4
LARGEST_SHARE = 0.5
"""Of the distance to itself that the distance to the other class may be."""
LEAST_DISTANCE = 0.3
SHIFTED_SHARE = 0.8
"""Of the classes that have to be shifted the same way."""
_MOST_DRAWN = 2000


@dataclass(frozen=True, slots=True, eq=False)
class _Looks:
    """How the boxes of a class look: sorted columns (N, 3), from so many images."""

    columns: npt.NDArray[np.float64]
    num_images: int


def check_exchanged(subject: Subject) -> Iterator[Finding]:
    """Yield classes that have changed places between train and another split."""
    train = subject.splits.get("train")
    if train is None or len(subject.class_names) < 2:
        return
    own = _looks_by_class(train)
    for table in subject.evaluated:
        other = _looks_by_class(table)
        left = [
            label
            for label in sorted(set(own) & set(other))
            if _apart(own[label], other[label]) > _critical(own[label], other[label])
        ]
        swapped = [pair for pair in combinations(left, 2) if _is_swapped(own, other, *pair)]
        shift = _shift(own, other, left)
        where = f"{train.name}, {table.name}"
        names = subject.class_names
        if shift:
            first = next(label for label in sorted(other) if label + shift in own)
            message = (
                f"boxes of {names[first]} in {table.name} look like those of "
                f"{names[first + shift]} in {train.name}, and so on"
            )
            yield found("classes-shifted", where, message, count=1)
        elif swapped:
            listed = "; ".join(f"{names[one]} and {names[two]}" for one, two in swapped[:5])
            yield found("classes-swapped", where, listed, count=len(swapped))


def distance(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> float:
    """Return the largest difference of the cumulative distributions of sorted (N,) and (M,)."""
    values = np.concatenate([one, two])
    shares = [np.searchsorted(each, values, side="right") / len(each) for each in (one, two)]
    return float(np.abs(shares[0] - shares[1]).max())


def _looks_by_class(table: SplitTable) -> dict[int, _Looks]:
    limits = table.limits
    width, height = table.widths / limits[:, 0], table.heights / limits[:, 1]
    shapes = np.stack(
        [
            np.log(np.maximum(width * height, 1e-9)),
            np.log(np.maximum(table.widths, 1e-3) / np.maximum(table.heights, 1e-3)),
            (table.boxes[:, 1] + table.boxes[:, 3]) / 2 / limits[:, 1],
        ],
        axis=1,
    ).astype(np.float64)
    looks = {}
    usable = np.flatnonzero(~table.ignore)
    order = usable[np.argsort(table.labels[usable], kind="stable")]
    cuts = np.flatnonzero(np.diff(table.labels[order])) + 1
    for chosen in np.split(order, cuts):
        # Boxes are in the order of their images, so that equal ones are neighbours.
        images = 1 + int((np.diff(table.image[chosen]) != 0).sum())
        if len(chosen) >= FEWEST_BOXES and images >= FEWEST_IMAGES:
            step = max(1, len(chosen) // _MOST_DRAWN)
            label = int(table.labels[chosen[0]])
            looks[label] = _Looks(np.sort(shapes[chosen[::step]], axis=0), images)
    return looks


def _apart(one: _Looks, two: _Looks) -> float:
    columns = zip(one.columns.T, two.columns.T, strict=True)
    return float(np.mean([distance(first, second) for first, second in columns]))


def _critical(one: _Looks, two: _Looks) -> float:
    """Return the distance that chance exceeds once in 10,000 comparisons of one column."""
    spread = math.sqrt(1 / one.num_images + 1 / two.num_images)
    return max(LEAST_DISTANCE, math.sqrt(-math.log(LEVEL / 2) / 2) * spread)


def _is_swapped(own: Mapping[int, _Looks], other: Mapping[int, _Looks], one: int, two: int) -> bool:
    same = [_apart(own[label], other[label]) for label in (one, two)]
    crossed = [_apart(own[one], other[two]), _apart(own[two], other[one])]
    return all(far < LARGEST_SHARE * near for far, near in zip(crossed, same, strict=True))


def _shift(own: Mapping[int, _Looks], other: Mapping[int, _Looks], left: Sequence[int]) -> int:
    """Return 1 or -1 if nearly all classes of `other` look like their neighbour in `own`, else 0.

    `left` are the classes that no longer look like themselves. Needs three classes: of two a shift
    cannot be told from a swap.
    """
    for shift in (1, -1):
        judged = [label for label in other if label in own and label + shift in own]
        moved = [
            label
            for label in judged
            if label in left
            and _apart(own[label + shift], other[label])
            < LARGEST_SHARE * _apart(own[label], other[label])
        ]
        if len(moved) >= 3 and len(moved) >= SHIFTED_SHARE * len(judged):
            return shift
    return 0
