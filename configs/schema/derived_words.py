"""Words for numbers that a run derives from its data: auto, batch, 15%.

Which fields take which words is marked in the schema (`derivable`). Until the data are read the
schema's default is a placeholder; configs/reading/derive.py then replaces it.
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from configs.origins import Layer
from configs.schema.allowed import derivable_words
from configs.schema.keys import ROOT, Group
from configs.schema.settings import SHARE

_SHARE = re.compile(r"\d+(\.\d+)?%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A number that the run derived."""

    key: str
    value: float
    reason: str

    def __str__(self) -> str:
        return f"{self.key} = {self.value:g}: {self.reason}"


@lru_cache(maxsize=1)
def derivable_keys() -> Mapping[str, tuple[frozenset[str], Any]]:
    """Return the words of every derivable key, and its placeholder number."""
    return dict(_walk(ROOT, ""))


def _walk(group: Group, prefix: str) -> Iterator[tuple[str, tuple[frozenset[str], Any]]]:
    for name in group.key_names:
        info = group.fields(name)[0]
        words = derivable_words(info)
        if words:
            yield prefix + name, (frozenset(words), info.default)
        below = group.child(name)
        if below is not None:
            yield from _walk(below, f"{prefix}{name}.")


def stated_words(settings: Layer) -> dict[str, str]:
    """Return the words in place of derived numbers, by dotted key."""
    found = {key: _at(settings.values, key) for key in derivable_keys()}
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, str) and _is_word(value, derivable_keys()[key][0])
    }


def with_numbers(settings: Layer) -> dict[str, Any]:
    """Return the values of `settings` with a placeholder number for every word."""
    values = deepcopy(settings.values)
    for key in stated_words(settings):
        put(values, key, derivable_keys()[key][1])
    return values


def put(values: dict[str, Any], key: str, value: object) -> None:
    """Set a dotted key in nested mappings that contain it."""
    *groups, name = key.split(".")
    for group in groups:
        values = values[group]
    values[name] = value


def share_of(word: str) -> float:
    """Return the number of `15%`, 0.15."""
    return float(word.removesuffix("%").strip()) / 100


def _is_word(value: str, words: frozenset[str]) -> bool:
    if SHARE in words and _SHARE.fullmatch(value):
        return share_of(value) <= 1
    return value in words and value != SHARE


def _at(values: object, key: str) -> object:
    for name in key.split("."):
        values = values.get(name) if isinstance(values, dict) else None
    return values
