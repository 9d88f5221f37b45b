"""Merge layers of settings, for experiments and for the designs of comparisons.

The layers of an experiment (defaults, bases, the file, the command line) are laid over complete
settings. A design, its bases and its arms set only what differs: the same rules, but no defaults
are filled in.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from configs.origins import DEFAULT, KeyPath, Layer, Source, leaves
from configs.schema.keys import ROOT, Group, group_of
from configs.schema.settings import Settings

_NO_GROUP = Group(variants=())


def schema_defaults() -> Layer:
    """Return the defaults of all settings; `data` has none."""
    layer = Layer(sources={(): DEFAULT})
    _fill_defaults(layer, (), ROOT.variants[0])
    return layer


def merge(lower: Layer, upper: Layer) -> None:
    """Lay `upper` over `lower`, in place.

    Where `upper` picks another variant of a choice (`name: focal` over `name: bce`), the keys in
    the new variant's `carried` keep their inherited value, the others start from its defaults.
    """
    _merge_group(lower, upper, (), ROOT, complete=True)


def merge_stated(
    lower: Mapping[str, Any], upper: Mapping[str, Any], group: Group = ROOT
) -> dict[str, Any]:
    """Return nested settings `upper` laid over `lower` by the rules of `merge`.

    What neither sets stays unset; mappings that the schema does not know are merged by key.
    """
    result = Layer(values=deepcopy(dict(lower)))
    _merge_group(result, Layer(values=deepcopy(dict(upper))), (), group, complete=False)
    return result.values


def _merge_group(
    lower: Layer, upper: Layer, path: KeyPath, group: Group, *, complete: bool
) -> None:
    stated: dict[str, Any] = _at(upper, path)
    _switch_variant(lower, stated, path, group, complete=complete)
    for name, value in stated.items():
        inner = (*path, name)
        below = group.child(name) or (None if complete else _NO_GROUP)
        if below is None or not isinstance(value, dict):
            _replace(lower, upper, inner, value)
            continue
        if not isinstance(_at(lower, path).get(name), dict):
            lower.put(inner, {}, upper.source(inner))
        lower.sources[inner] = upper.source(inner)
        _merge_group(lower, upper, inner, below, complete=complete)


def _switch_variant(
    lower: Layer, stated: dict[str, Any], path: KeyPath, group: Group, *, complete: bool
) -> None:
    key = group.discriminator
    current = _at(lower, path)
    if key is None:
        if complete and not current and path:
            _fill_defaults(lower, path, group.variants[0])
        return
    if not complete and key not in stated:
        return
    old = group.variant(current[key]) if key in current else None
    new = group.variant(stated[key]) if key in stated else old or group.default_variant()
    if new is None or new is old:
        return
    for name in [n for n in current if n not in new.carried]:
        lower.drop((*path, name))
    if complete:
        _fill_defaults(lower, path, new)


def _fill_defaults(layer: Layer, path: KeyPath, model: type[Settings]) -> None:
    """Set the keys of `model` that are missing and have a default."""
    present = _at(layer, path)
    for name, info in model.model_fields.items():
        if name in present or info.is_required():
            continue
        default = info.get_default(call_default_factory=True)
        if group_of(info) is not None and isinstance(default, Settings):
            default = default.model_dump(mode="json")
        elif isinstance(default, tuple):
            default = list(default)
        layer.put((*path, name), default, DEFAULT)


def _replace(lower: Layer, upper: Layer, path: KeyPath, value: object) -> None:
    source: Source = upper.source(path)
    if path[-1] in _at(lower, path[:-1]):
        lower.drop(path)
    lower.put(path, value, source)
    for inner in leaves(value, path):
        lower.sources[inner] = upper.source(inner)


def _at(layer: Layer, path: KeyPath) -> dict[str, Any]:
    group: Any = layer.values
    for name in path:
        group = group[name]
    return group if isinstance(group, dict) else {}
