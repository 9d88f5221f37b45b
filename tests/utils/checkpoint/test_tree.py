import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.checkpoint.tree import flatten, unflatten

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**130), 2**130)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
)
KEYS = st.text(max_size=6) | st.integers(-5, 5) | st.sampled_from(["$tensor", "$map", "$"])
TREES = st.recursive(
    LEAVES,
    lambda trees: (
        st.lists(trees, max_size=4)
        | st.lists(trees, max_size=4).map(tuple)
        | st.dictionaries(KEYS, trees, max_size=4)
    ),
    max_leaves=20,
)


def through_text(tree: Any) -> Any:
    value, tensors = flatten(tree)
    return unflatten(json.loads(json.dumps(value, allow_nan=False)), tensors)


def shape(tree: Any) -> Any:
    """Spell out every type: == takes 1, 1.0 and True for equal."""
    if isinstance(tree, dict):
        return "dict", [(shape(key), shape(value)) for key, value in tree.items()]
    if isinstance(tree, list | tuple):
        return type(tree).__name__, [shape(value) for value in tree]
    return type(tree).__name__, repr(tree)


@settings(max_examples=50)
@given(TREES)
def test_comes_back_exactly(tree: Any) -> None:
    assert shape(through_text(tree)) == shape(tree)


def test_odd_floats_come_back() -> None:
    tree = [math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2]
    assert shape(through_text(tree)) == shape(tree)
    assert math.isnan(through_text({"x": math.nan})["x"])


def test_tensors_are_kept_apart_and_named_by_their_place() -> None:
    tree = {"a": {"b": torch.ones(2)}, "a/b": torch.zeros(2), "list": [torch.tensor(3)]}
    value, tensors = flatten(tree)
    assert list(tensors) == ["0/a/b", "1/a/b", "2/list/0"]
    back = unflatten(value, tensors)
    assert back["a"]["b"] is tree["a"]["b"]
    assert back["a/b"] is tree["a/b"]
    assert back["list"][0] is tree["list"][0]


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": [1, object()]}, "state/a/1: cannot save object"),
        ({"a": {1.5: 2}}, "state/a: cannot save a key of type float"),
        ({"a": {True: 2}}, "state/a: cannot save a key of type bool"),
        ({"f": len}, "state/f: cannot save builtin_function_or_method"),
        ({"n": b"x"}, "state/n: cannot save bytes"),
    ],
)
def test_other_types_are_refused_by_place(tree: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        flatten(tree)
