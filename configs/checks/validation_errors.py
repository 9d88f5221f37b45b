"""A user's mistakes in settings as one line each: key, value, place, what is allowed.

`check_keys` finds keys that do not exist, `validate` everything a single value can be wrong in.
Keys without effect in a combination are in `configs/checks/unused_keys.py`.
"""

import json
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from configs.origins import KeyPath, Layer
from configs.schema import Experiment
from configs.schema.allowed import allowed, choices, shown
from configs.schema.derived_words import with_numbers
from configs.schema.keys import ROOT, Group, all_keys, dotted, nearest_key
from configs.schema.known_words import hint_for


def check_keys(layer: Layer) -> list[str]:
    """Remove keys that the schema does not have, and values in place of groups; say which."""
    faults: list[str] = []
    _check_group(layer, layer.values, (), ROOT, faults)
    return faults


def _check_group(
    layer: Layer, values: dict[str, Any], path: KeyPath, group: Group, faults: list[str]
) -> None:
    for name, value in list(values.items()):
        inner = (*path, name)
        fields, below = group.fields(name), group.child(name)
        if not fields:
            stated = _only_key(inner, value)
            faults.append(unknown_key(dotted(stated), layer.source(stated).where))
            layer.drop(inner)
        elif below is None or (isinstance(value, type(None)) and below.optional):
            continue
        elif isinstance(value, dict):
            _check_group(layer, value, inner, below, faults)
        elif value is None:
            layer.put(inner, {}, layer.source(inner))
        elif not below.optional:
            where = layer.source(inner).where
            faults.append(_not_a_group(dotted(inner), shown(value), where, below))
            layer.drop(inner)


def _only_key(path: KeyPath, value: Any) -> KeyPath:
    """Return the only key below an unknown group, which helps more than the group's name."""
    while isinstance(value, dict) and len(value) == 1:
        ((name, value),) = value.items()
        path = (*path, str(name))
    return path


def unknown_key(key: str, where: str) -> str:
    """Return the sentence on a key that does not exist, with the nearest one that does."""
    last = key.rpartition(".")[2]
    is_ours = "." in key and any(name.endswith(f".{last}") for name in all_keys())
    known = None if is_ours else hint_for(last)
    nearest = nearest_key(key)
    hint = f"did you mean '{nearest}'?" if nearest else "--help lists all keys"
    if known is not None:
        hint = f"here that is {known}"
    return f"unknown key '{key}' ({where}); {hint}"


def _not_a_group(key: str, value: str, where: str, group: Group) -> str:
    choice = group.discriminator
    tags = [tag for model in group.variants for tag in group.tags(model)]
    close = get_close_matches(value.strip('"').lower(), tags, n=1)
    if choice is not None and close:
        return f"{key} is {value} ({where}); type {key}.{choice}={close[0]}"
    return f"{key} is {value} ({where}); must have keys, of {', '.join(group.key_names)}"


def validate(layer: Layer) -> tuple[Experiment | None, list[str]]:
    """Make the settings from their values; the faults where that fails."""
    try:
        # The JSON route is strict on types and still takes a list for a tuple, 1 for a float.
        return Experiment.model_validate_json(json.dumps(with_numbers(layer))), []
    except ValidationError as error:
        return None, _faults_of(error, layer)


def _faults_of(error: ValidationError, layer: Layer) -> list[str]:
    faults: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        path, group, info = _locate(detail["loc"], layer)
        sentence = _sentence(detail, path, group, info, layer)
        faults.setdefault(f"{dotted(path)} {_kind(detail['type'])}", sentence)
    return list(faults.values())


def _kind(kind: str) -> str:
    """Errors of all alternatives of one field count as one."""
    return kind if kind in ("missing", "extra_forbidden", "value_error") else "value"


def _locate(location: tuple[int | str, ...], layer: Layer) -> tuple[KeyPath, Group, Any]:
    """Return the key, the group that holds it and its field; alternatives are left out.

    pydantic mixes names of alternatives into the location: ('loss', 'objectness', 'bce', 'alpha').
    """
    group = ROOT
    path: KeyPath = ()
    names = list(location)
    info: FieldInfo | None = None
    while names:
        name = names.pop(0)
        if name not in group.key_names:
            return (*path, str(name)), group, None
        path = (*path, str(name))
        info = _field(group, path, layer)
        below = group.child(str(name))
        if below is None or not names:
            return path, group, info
        group = below
        if group.discriminator is not None:
            names.pop(0)
    return path, group, info


def _field(group: Group, path: KeyPath, layer: Layer) -> FieldInfo:
    """Return the field of the chosen variant, else of the first one that has the key."""
    variant = group.variant(_value(layer, (*path[:-1], group.discriminator or "")))
    if variant is not None and path[-1] in variant.model_fields:
        return variant.model_fields[path[-1]]
    return group.fields(path[-1])[0]


def _value(layer: Layer, path: KeyPath) -> Any:
    value: Any = layer.values
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _sentence(
    detail: Any, path: KeyPath, group: Group, info: FieldInfo | None, layer: Layer
) -> str:
    key, where = dotted(path), layer.source(path).where
    kind = detail["type"]
    if kind == "missing":
        return f"{key} is missing ({where}); {_purpose(info)}"
    if kind == "extra_forbidden":
        return _foreign_key(path, group, layer, where)
    if kind == "value_error":
        problem = str(detail["ctx"]["error"])
        return f"{key} ({_place(path, problem, layer)}): {problem}"
    if kind.startswith("union_tag"):
        return _wrong_choice(path, group, layer)
    if info is None:
        return f"{key} is {shown(detail['input'])} ({where}); {detail['msg']}"
    if kind == "too_short":
        return f"{key} is empty ({where}); {_purpose(info)}"
    if kind == "string_pattern_mismatch":
        return f"{key} is {shown(detail['input'])} ({where}); allowed: {_purpose(info)}"
    sentence = f"{key} is {shown(_value(layer, path))} ({where}); must be {allowed(info)}"
    if isinstance(_value(layer, path), str) and allowed(info).startswith("a list"):
        sentence += f", as in [{str(_value(layer, path))[:60]}]"
    return sentence + _nearest_word(_value(layer, path), choices(info))


def _foreign_key(path: KeyPath, group: Group, layer: Layer, where: str) -> str:
    """Return the sentence on a key of another variant than the one chosen."""
    key, name, choice = dotted(path), path[-1], group.discriminator
    owners = [tag for m in group.variants if name in m.model_fields for tag in group.tags(m)]
    if choice is None or not owners:
        return unknown_key(key, where)
    chosen = _value(layer, (*path[:-1], choice))
    return (
        f"{key} has no effect ({where}): {choice} is {chosen}; "
        f"use {choice}: {' or '.join(owners)}, or remove {name}"
    )


def _wrong_choice(path: KeyPath, group: Group, layer: Layer) -> str:
    choice = group.child(path[-1]) if path else None
    if choice is None or choice.discriminator is None:
        return f"{dotted(path)} ({layer.source(path).where}) cannot be read"
    inner = (*path, choice.discriminator)
    words = [tag for model in choice.variants for tag in choice.tags(model)]
    value = _value(layer, inner)
    if isinstance(value, str) and "." in value and "custom" in words:
        return (
            f"{dotted(inner)} is {shown(value)} ({layer.source(inner).where}); a class of your own "
            f"is {dotted(inner)}=custom {dotted(path)}.object={value}"
        )
    return (
        f"{dotted(inner)} is {shown(value)} ({layer.source(inner).where}); "
        f"must be one of {', '.join(words)}" + _nearest_word(value, words)
    )


def _nearest_word(value: object, words: list[str]) -> str:
    if isinstance(value, bool) and "off" in words:
        value = next(word for word in words if (word != "off") == value)
    close = get_close_matches(value.lower(), words, n=1) if isinstance(value, str) else []
    return f"; did you mean '{close[0]}'?" if close else ""


def _purpose(info: FieldInfo | None) -> str:
    return " ".join((info.description or "must be stated").split()) if info else "must be stated"


def _place(path: KeyPath, problem: str, layer: Layer) -> str:
    """Return the place of highest precedence where the key of a problem was set."""
    words = problem.split()
    named = [s for p, s in layer.sources.items() if p[:-1] == path and p[-1] in words]
    return max(named, key=lambda source: source.rank, default=layer.source(path)).where
