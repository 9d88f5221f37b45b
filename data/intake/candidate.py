"""What a layout says about a folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.intake.tree import SplitName, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A reading of a folder: settings of section `data`, in the words of a YAML."""

    title: str
    """What it was taken for, for a person."""
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()


Layout = Callable[[Tree], Candidate | None]


def by_split(sources: Mapping[SplitName, Sequence[str]]) -> dict[str, Any]:
    """Return the keys train, val and test; a split without train in its name is train.

    Where only val or test is named, as FiftyOne exports one split, it is trained on.
    """
    found = {
        name: _one_or_list(sources[name]) for name in ("train", "val", "test") if name in sources
    }
    if found and "train" not in found:
        first = next(iter(found))
        found = {"train": found.pop(first), **found}
    return found


def _one_or_list(sources: Sequence[str]) -> Any:
    return sources[0] if len(sources) == 1 else list(sources)
