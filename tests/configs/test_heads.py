"""What is known of a head before torch is loaded: the bins of its distributions."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.heads import distribution_bins, with_bins

JOINT = [
    [["nc"], 8],
    [["nc", 8], 8],
    [["nc", 24, 32, None, True, 4], 24],
    [["nc", "exp"], 0],
    [["nc", "linear", 32], 0],
]


def graph(block: str, arguments: Any) -> dict[str, Any]:
    return {"nc": 3, "backbone": [], "head": [[-1, 1, "Conv", [8]], [[0], 1, block, arguments]]}


@pytest.mark.parametrize(("arguments", "expected"), JOINT)
def test_bins_are_read(arguments: list[Any], expected: int) -> None:
    assert distribution_bins(graph("Joint", arguments)) == expected


@given(st.sampled_from(JOINT), st.integers(2, 64))
def test_bins_are_replaced_and_nothing_else_is(case: list[Any], bins: int) -> None:
    before = graph("Joint", case[0])
    kept = deepcopy(before)
    after = with_bins(before, bins)
    assert before == kept
    if case[1] in (0, bins):
        assert after is before
        return
    assert distribution_bins(after) == bins
    assert after["head"] == [kept["head"][0], [[0], 1, "Joint", ["nc", bins, *case[0][2:]]]]
    assert {**after, "head": None} == {**kept, "head": None}


@pytest.mark.parametrize("block", ["Detect", "YOLOX", "Retina", "SharedJoint", "Mine"])
def test_other_heads_have_none(block: str) -> None:
    before = graph(block, ["nc", 8])
    assert distribution_bins(before) == 0
    assert with_bins(before, 16) is before


@pytest.mark.parametrize(
    "head", [None, [], "text", [None], [[]], [["a", 1]], [[-1, 1, "Joint", None]]]
)
def test_what_is_no_graph_raises_nothing(head: Any) -> None:
    stated = {"head": head}
    assert distribution_bins(with_bins(stated, 16)) in (0, 16)
