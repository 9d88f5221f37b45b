"""The allowed values of a key in words, for error messages and for `--help`."""

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from configs.schema.settings import SHARE

_WORDS = {SHARE: f"a share of the run such as {SHARE}"}
_PLAIN = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def allowed(info: FieldInfo) -> str:
    """Return the type or choices of a field, and its range."""
    limits = _limits(info.metadata)
    options = [_describe(part, limits) for part in _alternatives(info.annotation)]
    options += [_WORDS.get(word, word) for word in derivable_words(info)]
    return " or ".join(dict.fromkeys(options))


def derivable_words(info: FieldInfo) -> list[str]:
    """Return the words from which configs/reading/derive.py derives the number of a field."""
    extra = info.json_schema_extra
    words = extra.get("derivable", []) if isinstance(extra, dict) else []
    return [str(word) for word in words] if isinstance(words, list) else []


def default_text(info: FieldInfo) -> str:
    """Return the default in words."""
    return "required" if info.is_required() else f"default {shown(info.default)}"


def shown(value: object, longest: int = 60) -> str:
    """Return a value as in YAML, shortened if it is long."""
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value).replace("inf", ".inf").replace("nan", ".nan")
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def choices(info: FieldInfo) -> list[str]:
    """Return the choices of a field, empty if it is not a choice of words."""
    return [
        value
        for part in _alternatives(info.annotation)
        if get_origin(part) is Literal
        for value in get_args(part)
        if isinstance(value, str)
    ]


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (None, Literal, tuple, dict, Annotated):
        return [annotation]
    parts = [a for part in get_args(annotation) for a in _alternatives(part)]
    return sorted(parts, key=lambda part: part is type(None))


def _describe(annotation: Any, limits: str) -> str:
    if annotation is type(None):
        return "null"
    if get_origin(annotation) is Literal:
        values = [str(value) for value in get_args(annotation)]
        return values[0] if len(values) == 1 else f"one of {', '.join(values)}"
    if get_origin(annotation) is tuple:
        return f"a list of {_plural(get_args(annotation)[0])}"
    if get_origin(annotation) is Annotated:
        inner, *constraints = get_args(annotation)
        limits_of = [part for one in constraints for part in getattr(one, "metadata", ())]
        return _describe(inner, _limits(limits_of))
    words = _PLAIN.get(annotation, "keys and values")
    return f"{words} {limits}" if limits and annotation in (int, float) else words


def _plural(annotation: Any) -> str:
    if get_origin(annotation) is tuple:
        first, *others = get_args(annotation)
        is_pair = others != [...]
        return "pairs of values" if is_pair else f"lists of {_plural(first)}"
    if get_origin(annotation) is Annotated:
        return _describe(annotation, "").removeprefix("a ").replace("number", "numbers", 1)
    return {int: "whole numbers", float: "numbers", str: "texts"}.get(annotation, "values")


def _limits(constraints: Sequence[Any]) -> str:
    bounds = {
        name: value
        for constraint in constraints
        for name in ("ge", "gt", "le", "lt", "multiple_of")
        if (value := getattr(constraint, name, None)) is not None
    }
    words = []
    if "ge" in bounds and "le" in bounds:
        words.append(f"from {bounds.pop('ge')} to {bounds.pop('le')}")
    names = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    words += [f"{text} {bounds[name]}" for name, text in names.items() if name in bounds]
    if "multiple_of" in bounds:
        words.append(f"a multiple of {bounds['multiple_of']}")
    return " and ".join(words)
