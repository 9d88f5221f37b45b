import math

import cv2
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data.augment.affine import Affine
from data.augment.layout import single
from data.augment.warp import MARGIN, TOLERANCE_PX, Span, find_span, place, render_tile, stretch
from utils.structures.images import ImageArray

ZOOMS = st.floats(0.4, 4.0)
SHIFTS = st.floats(-700, 700)


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


def slow_stretch(image: ImageArray, columns: Span, rows: Span) -> np.ndarray:
    """Oracle: every output pixel looked up bilinearly in the image with endless borders."""
    height, width = image.shape[:2]
    result = np.zeros((rows.stop - rows.start, columns.stop - columns.start, 3))

    def places(span: Span) -> list[float]:
        count, size = span.stop - span.start, span.last - span.first
        middles = [(i + 0.5) * size / count - 0.5 for i in range(count)]
        return [span.first + min(max(middle, 0), size - 1) for middle in middles]

    for i, y in enumerate(places(rows)):
        for j, x in enumerate(places(columns)):
            for row, share_y in ((math.floor(y), 1 - y % 1), (math.floor(y) + 1, y % 1)):
                for column, share_x in ((math.floor(x), 1 - x % 1), (math.floor(x) + 1, x % 1)):
                    pixel = image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
                    result[i, j] += share_y * share_x * pixel
    return result


@pytest.mark.parametrize(
    ("columns", "rows"),
    [
        (Span(0, 9, 0, 9), Span(0, 7, 0, 7)),
        (Span(-3, 5, -2, 13), Span(2, 12, 0, 6)),
        (Span(4, 14, 0, 12), Span(-5, 11, -4, 9)),
    ],
)
def test_stretching_is_bilinear_with_an_endless_border(columns: Span, rows: Span) -> None:
    image = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    got = stretch(image, columns, rows)
    assert np.abs(got - slow_stretch(image, columns, rows)).max() <= 1


@given(zoom=st.floats(0.55, 3.9), x=st.floats(-0.2, 0.2), y=st.floats(-0.2, 0.2))
def test_a_stretched_tile_is_a_warped_tile(zoom: float, x: float, y: float) -> None:
    """The same tile drawn by a resize and, turned by next to nothing, by a warp."""
    size = (60, 80)
    row, column = np.mgrid[:60, :80]
    waves = [127 + 120 * np.sin(row / a + column / b) for a, b in ((6, 9), (9, -7), (-8, 5))]
    image = np.stack(waves, -1).astype(np.uint8)
    tile = single(0, size, 96).tiles[0]
    drawn = []
    for degrees in (0.0, 1e-7):
        affine = Affine(
            degrees=degrees, zoom=zoom, shear_degrees=(0, 0), perspective=(0, 0), shift=(x, y)
        )
        placement = place(tile, affine.matrix(96, 96), 96)
        assume(placement is not None)
        output = np.full((96, 96, 3), 114, np.uint8)
        render_tile(output, image, placement)  # type: ignore[arg-type]
        drawn.append(output.astype(int))
    inner = cv2.erode((drawn[1] != 114).any(-1).astype(np.uint8), np.ones((5, 5))) > 0
    # A sixteenth of a pixel, where the waves change by up to 28 levels in an original pixel.
    assert np.abs(drawn[0] - drawn[1])[inner].max(initial=0) <= 4
