import math

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.augment.warp import MARGIN, TOLERANCE_PX, find_spans
from tests.data.augment.one_by_one import Span
from tests.data.augment.scenes import Scene, draw
from tests.data.augment.test_plan_compose import affine, record

ZOOMS = st.floats(0.4, 4.0)
SHIFTS = st.floats(-700, 700)


def find_span(zoom: float, shift: float, length: int, stop: int) -> Span | None:
    spans = find_spans(*(np.array([float(each)]) for each in (zoom, shift, length, stop)))
    return Span(*(int(each[0]) for each in spans[:4])) if spans.found[0] else None


@given(zoom=ZOOMS, shift=SHIFTS, length=st.integers(1, 900), stop=st.integers(1, 700))
def test_ends_of_a_span_land_on_whole_pixels(
    zoom: float, shift: float, length: int, stop: int
) -> None:
    span = find_span(zoom, shift, length, stop)
    if span is None:
        return
    for edge, place_of_edge in ((span.first, span.start), (span.last, span.stop)):
        assert abs(zoom * edge + shift - place_of_edge) <= TOLERANCE_PX + 1e-9
    assert span.start <= 0 < stop <= span.stop
    # What a bilinear look-up at the first and the last pixel wants lies inside, or in the border.
    lowest, highest = ((x - shift) / zoom - 0.5 for x in (0.5, stop - 0.5))
    assert span.first <= max(0, math.floor(lowest))
    assert span.last >= min(length, math.floor(highest) + 2)
    assert span.first >= min(0, math.floor(lowest)) - MARGIN - 2
    assert span.last <= max(length, math.floor(highest)) + MARGIN + 4


def test_most_zooms_have_a_span() -> None:
    rng = np.random.default_rng(0)
    draws = zip(rng.uniform(0.5, 1.5, 1000), rng.uniform(-99, 99, 1000), strict=True)
    found = [find_span(zoom, shift, 9999, 320) for zoom, shift in draws]
    assert sum(span is not None for span in found) > 850


def test_spans_by_pencil() -> None:
    assert find_span(1.0, 0.5, 500, 100) is None
    assert find_span(1.0, -3.0, 500, 100) == Span(2, 104, -1, 101)
    assert find_span(2.0, 0.0, 30, 60) == Span(0, 30, 0, 60)
    assert find_span(2.0, -4.0, 30, 56) == Span(1, 30, -2, 56)
    # The edge lands between pixels: one source pixel of border moves it on a whole one.
    assert find_span(1.5, -0.5, 30, 44) == Span(-1, 31, -2, 46)


@given(zoom=st.floats(0.55, 3.9), x=st.floats(-0.2, 0.2), y=st.floats(-0.2, 0.2))
def test_a_resized_tile_is_a_warped_tile(zoom: float, x: float, y: float) -> None:
    """The same tile drawn by a resize and, turned by next to nothing, by a warp."""
    row, column = np.mgrid[:60, :80]
    waves = [127 + 120 * np.sin(row / a + column / b) for a, b in ((6, 9), (9, -7), (-8, 5))]
    image = np.stack(waves, -1).astype(np.uint8)
    scene = Scene(records=[record(0, (60, 80))], image_size=96)
    drawn = [
        draw(scene, affine(degrees, zoom, shift=(x, y)), lambda _: image).image.astype(int)
        for degrees in (0.0, 1e-7)
    ]
    inner = cv2.erode((drawn[1] != 114).any(-1).astype(np.uint8), np.ones((5, 5))) > 0
    # A sixteenth of a pixel, where the waves change by up to 28 levels in an original pixel.
    assert np.abs(drawn[0] - drawn[1])[inner].max(initial=0) <= 4
