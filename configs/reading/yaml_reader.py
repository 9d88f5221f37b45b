"""YAML files and values as plain Python data, with the line of every key.

The rules of YAML 1.2: `1e-3` is a number, `yes`, `no`, `on` and `off` are text. Stricter than
YAML: a key that occurs twice, a tag (`!name`) and a merge key (`<<`) are errors.
"""

import copy
import functools
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from configs.errors import ConfigError
from configs.origins import KeyPath, display_name

_PATTERNS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
        r"|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
)

LARGEST_TEXT = 16 * 2**20
"""Bytes of the largest YAML that is read."""

KEPT_TEXT = 2**16
"""Letters of a YAML that is not parsed again while it stays as it is."""

MAX_VALUES = 200_000
"""A few aliases of aliases can stand for more values than fit into memory."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node as PyYAML does; refuse a tag that is written out, as `!!binary`."""
        event: Any = self.peek_event()
        tag = getattr(event, "tag", None)
        if tag is not None:
            problem = f"tag {tag!r} is not allowed; write plain values"
            raise yaml.composer.ComposerError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


for _name, _pattern, _first in _PATTERNS:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), ["", *_first]
    )


@dataclass(frozen=True)
class Document:
    """Content of a YAML mapping; `lines` has the line, from 1, of every key at every depth."""

    path: Path
    values: dict[str, Any]
    lines: Mapping[KeyPath, int]


def read_yaml(path: Path) -> Document:
    """Read a YAML file that contains a mapping; an empty file is an empty mapping.

    Raises:
        ConfigError: The file cannot be read, is not YAML or not a mapping, or has a key twice;
            with file and line.
    """
    name = display_name(path)
    try:
        text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {name}: {_reason(error)}") from None
    parse = _parsed if len(text) < KEPT_TEXT else _parsed.__wrapped__
    values, lines = parse(text, name)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{name} must have keys and values, found {_kind(values)}")
    return Document(path=path, values=copy.deepcopy(values), lines=lines)


@functools.lru_cache(maxsize=32)
def _parsed(text: str, name: str) -> tuple[Any, Mapping[KeyPath, int]]:
    """Parse a document once: the arms of a comparison share their bases, graph and data."""
    reader = _Reader(text, name)
    return reader.read(), reader.lines


def parse_value(text: str) -> Any:
    """Read one YAML value, as on the right of `section.key=value`; nothing is null.

    Raises:
        ConfigError: The text is not one YAML value.
    """
    return _Reader(text, "").read()


class _Reader:
    """Turns the nodes of one document into values and notes their lines."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._open: set[int] = set()
        self._values = 0

    def read(self) -> Any:
        loader = _Loader("")
        try:
            loader = _Loader(self._text)
            node = loader.get_single_node()
            return None if node is None else self._value(loader, node, ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            problem = _problem(error)
            word = "" if problem.startswith("tag ") else "not valid YAML: "
            raise ConfigError(f"{self._at(line)}{word}{problem}") from None
        except (yaml.YAMLError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{self._at(1)}not valid YAML: {_first_line(error)}") from None
        except (IndexError, KeyError, AttributeError, TypeError, OverflowError):
            # PyYAML raises other errors for some damaged documents.
            raise ConfigError(f"{self._at(1)}not valid YAML: damaged or cut short") from None
        except RecursionError:
            raise ConfigError(f"{self._at(1)}not valid YAML: nested too deeply") from None
        finally:
            loader.dispose()

    def _value(self, loader: _Loader, node: yaml.Node, path: KeyPath) -> Any:
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self._fail(node, f"tag {node.tag!r} is not allowed; write plain values")
        if id(node) in self._open:
            self._fail(node, "an alias that contains itself")
        self._values += 1
        if self._values > MAX_VALUES:
            self._fail(node, f"more than {MAX_VALUES} values; aliases that repeat aliases?")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(loader, node, path)
            if isinstance(node, yaml.SequenceNode):
                return [self._value(loader, item, path) for item in node.value]
            value = loader.construct_object(node)
            if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
                what = f"{'.'.join(path)} " if path else ""
                self._fail(node, f"{what}contains half a character, which no name can have")
            return value
        finally:
            self._open.discard(id(node))

    def _mapping(self, loader: _Loader, node: yaml.MappingNode, path: KeyPath) -> dict[Any, Any]:
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            if key_node.value == "<<":
                self._fail(key_node, "merge keys (<<) are not read; use base:")
            if not isinstance(key_node, yaml.ScalarNode):
                self._fail(key_node, "a key must be a plain word")
            key = loader.construct_object(key_node)
            place = (*path, str(key))
            if key in mapping:
                self._fail(key_node, f"key '{key}' is already set in line {self.lines[place]}")
            self.lines[place] = key_node.start_mark.line + 1
            mapping[key] = self._value(loader, value_node, place)
        return mapping

    def _fail(self, node: yaml.Node, problem: str) -> None:
        raise ConfigError(f"{self._at(node.start_mark.line + 1)}{problem}")

    def _at(self, line: int) -> str:
        return f"{self.name}:{line}: " if self.name else ""


def read_text(path: Path) -> str:
    """Return the UTF-8 text of a regular file.

    This package imports nothing of ours, so it has a small reader of its own beside the one of
    `utils/runtime/files/regular_file.py`.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is a pipe, a device or too large, has a name no file can have, or contains no
            UTF-8; the text says which.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise ValueError("Is a directory")
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is a pipe or a device, not a file")
        if not status.st_size and os.path.realpath(path).startswith(("/proc/", "/sys/")):
            raise ValueError("it is a view of the system, not a file")
        if status.st_size > LARGEST_TEXT:
            raise ValueError(f"it has {status.st_size / 2**20:,.0f} MiB, no YAML is so large")
        data = file.read(status.st_size)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None


def _problem(error: yaml.MarkedYAMLError) -> str:
    if error.problem and "\\t" in error.problem:
        return "a tab; indent with spaces"
    return ", ".join(part for part in (error.problem, error.context) if part)


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    is_name = "null byte" in str(error) or isinstance(error, UnicodeError)
    return "no file can have such a name" if is_name else str(error)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else f"the single value {value!r}"
