"""Turns nested state into JSON and tensors and back, exactly: types, key types and float bits."""

import math
from typing import Any

from torch import Tensor


def flatten(tree: Any) -> tuple[Any, dict[str, Tensor]]:
    """Split a tree into a JSON value and its tensors (any shape) by name.

    Leaves: str, int, float, bool, None, Tensor. Nodes: dict with str or int keys, list, tuple.
    What JSON lacks becomes a one-entry dict whose key starts with "$".

    Raises:
        TypeError: any other type; names where in the tree.
    """
    tensors: dict[str, Tensor] = {}
    return _encode(tree, "", tensors), tensors


def unflatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the tree of which `flatten` made `value` and `tensors` (any shape).

    Raises:
        KeyError: a tensor is missing.
    """
    if isinstance(value, list):
        return [unflatten(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tensor" in value:
        return tensors[value["$tensor"]]
    if "$float" in value:
        return float(value["$float"])
    if "$tuple" in value:
        return tuple(unflatten(item, tensors) for item in value["$tuple"])
    if "$map" in value:
        return {key: unflatten(item, tensors) for key, item in value["$map"]}
    return {key: unflatten(item, tensors) for key, item in value.items()}


def _encode(tree: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        name = f"{len(tensors)}{where}"  # the number keeps names apart, the path is for readers
        tensors[name] = tree
        return {"$tensor": name}
    if isinstance(tree, dict):
        return _encode_dict(tree, where, tensors)
    if isinstance(tree, list | tuple):
        items = [_encode(item, f"{where}/{index}", tensors) for index, item in enumerate(tree)]
        return items if type(tree) is list else {"$tuple": items}
    if type(tree) is float:
        return tree if math.isfinite(tree) else {"$float": repr(tree)}
    if tree is None or type(tree) in (str, int, bool):
        return tree
    raise TypeError(f"state{where}: cannot save {type(tree).__name__}")


def _encode_dict(tree: dict[Any, Any], where: str, tensors: dict[str, Tensor]) -> Any:
    for key in tree:
        if type(key) not in (str, int):
            raise TypeError(f"state{where}: cannot save a key of type {type(key).__name__}")
    entries = {key: _encode(item, f"{where}/{key}", tensors) for key, item in tree.items()}
    if all(isinstance(key, str) and not key.startswith("$") for key in entries):
        return entries
    return {"$map": [[key, item] for key, item in entries.items()]}
