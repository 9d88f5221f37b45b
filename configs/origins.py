"""Origins of settings, and nested settings with their origins."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

CONFIGS_FOLDER = Path(__file__).resolve().parent
KeyPath = tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """The place where a value is set.

    `rank` grows with precedence: a base has a smaller one than the file that names it, the command
    line has the largest. `by_user` is false for presets and defaults, whose keys may be without
    effect.
    """

    name: str
    """default, a file or command line."""
    folder: Path
    """Relative paths are tried against it first."""
    line: int | None = None
    rank: int = 0
    by_user: bool = True

    @property
    def where(self) -> str:
        """The place for a person: file:line where there is one."""
        return self.name if self.line is None else f"{self.name}:{self.line}"

    def at(self, line: int | None) -> "Source":
        """Return the same file at a line."""
        return replace(self, line=line)


DEFAULT = Source(name="default", folder=CONFIGS_FOLDER, rank=-1, by_user=False)


@dataclass
class Layer:
    """Nested settings, and the source of every key in them, groups included."""

    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[KeyPath, Source] = field(default_factory=dict)
    replaces_data: bool = False
    """`data` is a whole data set: nothing of an inherited one remains."""

    def source(self, path: KeyPath) -> Source:
        """Return where `path` was set, or else the innermost group around it."""
        while path:
            if path in self.sources:
                return self.sources[path]
            path = path[:-1]
        return self.sources.get((), DEFAULT)

    def drop(self, path: KeyPath) -> None:
        """Remove a key with all below it."""
        group: Any = self.values
        for name in path[:-1]:
            group = group[name]
        del group[path[-1]]
        self.sources = {p: s for p, s in self.sources.items() if p[: len(path)] != path}

    def put(self, path: KeyPath, value: object, source: Source) -> None:
        """Set a key; groups above it appear where they are missing."""
        group = self.values
        for depth, name in enumerate(path[:-1], start=1):
            if not isinstance(group.get(name), dict):
                group[name] = {}
                self.sources[path[:depth]] = source
            group = group[name]
        group[path[-1]] = value
        for inner in leaves(value, path):
            self.sources[inner] = source
        self.sources[path] = source


def leaves(value: object, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every value that is not a mapping, and of empty mappings."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from leaves(inner, (*path, str(name)))
    else:
        yield path


def display_name(path: Path) -> str:
    """Name a file relative to the working directory, in full where it is outside."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
