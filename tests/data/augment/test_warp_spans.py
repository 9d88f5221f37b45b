"""Spans of many axes against the search for one axis."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.augment.warp import LARGEST_ZOOM, find_spans
from tests.data.augment.one_by_one import Span, find_span

Axis = tuple[float, float, int, int]
axes = st.tuples(
    st.floats(0.05, LARGEST_ZOOM) | st.sampled_from([0.5, 1.0, 2.0, 1 / 3, 0.1]),
    st.floats(-700, 700) | st.integers(-700, 700) | st.sampled_from([-0.0, 0.5, -0.5, 1e-12]),
    st.integers(1, 700),
    st.integers(1, 640),
)


@pytest.mark.slow
@given(st.lists(axes, min_size=1, max_size=30))
def test_each_span_is_found_as_if_alone(rows: list[Axis]) -> None:
    zoom, shift, length, stop = np.array(rows, np.float64).T
    spans = find_spans(zoom, shift, length, stop)
    for place, (z, s, n, end) in enumerate(rows):
        want = find_span(z, float(s), n, end)
        assert bool(spans.found[place]) == (want is not None)
        if want is not None:
            got = (each[place] for each in spans[:4])
            assert Span(*map(int, got)) == want


def test_some_have_no_span() -> None:
    """Whole steps from a quarter never land on a whole pixel; every second half step does."""
    zoom, shift = np.array([1.0, 1.0, 0.5]), np.array([0.25, 3.0, 0.0])
    spans = find_spans(zoom, shift, np.full(3, 300.0), np.full(3, 100.0))
    assert spans.found.tolist() == [False, True, True]
    assert find_span(1.0, 0.25, 300, 100) is None
