"""Text in a graph row to the value it stands for: a visible table of names, never `eval`."""

import ast
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from torch import nn

from configs.errors import ConfigError
from models.limits import MAX_TEXT

CONSTANTS: Mapping[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "nearest": "nearest",
    "nearest-exact": "nearest-exact",
    "bilinear": "bilinear",
    "bicubic": "bicubic",
    "exp": "exp",
    "linear": "linear",
}

ACTIVATIONS: Mapping[str, Callable[..., nn.Module]] = {
    "nn.CELU": nn.CELU,
    "nn.ELU": nn.ELU,
    "nn.GELU": nn.GELU,
    "nn.Hardswish": nn.Hardswish,
    "nn.Identity": nn.Identity,
    "nn.LeakyReLU": nn.LeakyReLU,
    "nn.Mish": nn.Mish,
    "nn.PReLU": nn.PReLU,
    "nn.ReLU": nn.ReLU,
    "nn.ReLU6": nn.ReLU6,
    "nn.SELU": nn.SELU,
    "nn.SiLU": nn.SiLU,
    "nn.Sigmoid": nn.Sigmoid,
    "nn.Tanh": nn.Tanh,
}

_MISTAKES = (
    SyntaxError,
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)
"""Raised by Python and torch for texts that are not calls, and for values that do not fit."""
MAX_ARGUMENT = 1e6


def nearest_name(name: str, known: Mapping[str, Any]) -> str:
    """Return the second half of an error: the known name most like `name`, or all of them."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"


def resolve(value: Any, names: Mapping[str, Any], where: str) -> Any:
    """Return `value` with every text in it, at any depth of lists, replaced by what it stands for.

    Args:
        value: a number, text or None, or a list of such, as the YAML gives it.
        names: meaning of names that depend on the graph, such as `nc`.
        where: start of the error message, naming file, row and block.

    Raises:
        ConfigError: a text is neither in `names`, nor a constant, nor an activation.
    """
    if isinstance(value, list | tuple):
        return tuple(resolve(item, names, where) for item in value)
    if not isinstance(value, str):
        return value
    text = value.strip().strip("'\"")
    if text.startswith("nn."):
        return parse_activation(text, where)
    table = {**CONSTANTS, **names}
    if text not in table:
        raise ConfigError(f"{where}: unknown argument '{text}'; {nearest_name(text, table)}")
    return table[text]


def parse_activation(text: str, where: str) -> nn.Module:
    """Return the activation written as in `nn.LeakyReLU(0.1)`; arguments are literals only.

    Raises:
        ConfigError: the text is not such a call, or names no known activation.
    """
    if len(text) > MAX_TEXT:
        raise ConfigError(f"{where}: an activation of {len(text)} characters; write nn.ReLU()")
    call = _parse_call(text)
    if call is None:
        raise ConfigError(f"{where}: '{text}' is not an activation; write it as nn.ReLU()")
    name = ast.unparse(call.func).removeprefix("torch.")
    if name not in ACTIVATIONS:
        raise ConfigError(
            f"{where}: unknown activation '{name}'; {nearest_name(name, ACTIVATIONS)}"
        )
    try:
        positional = [ast.literal_eval(argument) for argument in call.args]
        keywords = {str(item.arg): ast.literal_eval(item.value) for item in call.keywords}
        if not all(_is_small(value) for value in (*positional, *keywords.values())):
            raise ValueError("numbers of usual size, or none")
        return ACTIVATIONS[name](*positional, **keywords)
    except _MISTAKES as error:
        raise ConfigError(f"{where}: wrong arguments in '{text}': {error}") from error


def _is_small(value: Any) -> bool:
    if isinstance(value, int | float):
        return -MAX_ARGUMENT <= value <= MAX_ARGUMENT
    return value is None or isinstance(value, str)


def _parse_call(text: str) -> ast.Call | None:
    try:
        expression = ast.parse(text, mode="eval").body
    except _MISTAKES:
        return None
    return expression if isinstance(expression, ast.Call) else None
