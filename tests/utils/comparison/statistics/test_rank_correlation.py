"""Spearman's correlation against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from utils.comparison.statistics.rank_correlation import rank_correlation, ranks_of

VALUES = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


def slow_rank(values: list[int], value: int) -> float:
    lower = sum(other < value for other in values)
    equal = sum(other == value for other in values)
    return lower + (equal - 1) / 2


@given(VALUES)
def test_ranks_equal_their_definition(values: list[int]) -> None:
    assert ranks_of(values).tolist() == [slow_rank(values, value) for value in values]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=12))
def test_it_is_pearson_of_ranks(rows: list[tuple[int, int]]) -> None:
    one, other = [row[0] for row in rows], [row[1] for row in rows]
    found = rank_correlation(one, other)
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert found is None
        return
    expected = np.corrcoef([slow_rank(one, v) for v in one], [slow_rank(other, v) for v in other])[
        0, 1
    ]
    assert found == pytest.approx(expected)


def test_only_the_order_counts() -> None:
    assert rank_correlation([1, 2, 3, 4], [0.1, 5, 6, 1e9]) == pytest.approx(1.0)
    assert rank_correlation([1, 2, 3, 4], [4, 3, 2, -7]) == pytest.approx(-1.0)
    assert rank_correlation([1, 2], [1, 2]) is None
