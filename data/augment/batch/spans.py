"""Spans of `data/augment/warp.py` for many axes at once."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.augment.warp import MARGIN, WHOLE_FROM, WHOLE_TO
from utils.structures.images import MaskArray

Floats = npt.NDArray[np.float64]
_FIRST_TRIED = 8
"""Windows that are tried for all axes before the rest is tried for those that need it: one in eight
fits by chance."""


class Spans(NamedTuple):
    """Source pixels `first` to `last` become output pixels `start` to `stop`, each (M,), whole."""

    first: Floats
    last: Floats
    start: Floats
    stop: Floats
    found: MaskArray
    """Whether there are such pixels; else the numbers have no meaning."""


def find_spans(zoom: Floats, shift: Floats, length: Floats, stop: Floats) -> Spans:
    """Return what `find_span` returns for each row of the arguments (M,)."""
    lowest = np.floor_divide(-shift, zoom) - 1
    highest = 1 - np.floor_divide(shift - stop, zoom)
    inside_low = (lowest < 0) & (np.rint(shift) <= 0)
    inside_high = (highest > length) & (np.rint(zoom * length + shift) >= stop)
    first, start, has_first = _whole(zoom, shift, np.zeros(len(zoom)), inside_low, lowest, -1)
    last, end, has_last = _whole(zoom, shift, length, inside_high, highest, 1)
    return Spans(first, last, start, end, has_first & has_last)


def _whole(
    zoom: Floats, shift: Floats, inside: Floats, is_inside: MaskArray, edge: Floats, step: int
) -> tuple[Floats, Floats, MaskArray]:
    """Return the first edges that land on whole pixels, these pixels, and whether there are any.

    Tried are `inside` where `is_inside`, then `edge` and what follows it by `step`.
    """
    shift = shift + 0.5
    tried = np.where(is_inside, inside, edge)
    places = zoom * tried + shift
    found = _is_whole(places)
    rest = np.flatnonzero(~found)
    for offsets in np.split(np.arange(MARGIN) * step, [_FIRST_TRIED]):
        if not len(rest):
            break
        edges = edge[rest, None] + offsets
        reached = zoom[rest, None] * edges + shift[rest, None]
        fits = _is_whole(reached)
        chosen = fits.argmax(axis=1)
        rows = np.arange(len(rest))
        has_one = fits[rows, chosen]
        at = rest[has_one]
        tried[at], places[at] = edges[rows, chosen][has_one], reached[rows, chosen][has_one]
        found[at] = True
        rest = rest[~has_one]
    return tried, np.floor(places), found


def _is_whole(places: Floats) -> MaskArray:
    behind = places - np.floor(places)
    return (behind >= WHOLE_FROM) & (behind <= WHOLE_TO)
