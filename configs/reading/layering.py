"""Collect layers of settings from files and the command line, in order of precedence."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.checks.validation_errors import unknown_key
from configs.errors import ConfigError
from configs.origins import KeyPath, Layer, Source, display_name
from configs.reading.dataset_yaml import fill_missing, is_dataset, normalise
from configs.reading.locate import find_dataset_source, find_yaml
from configs.reading.resolved import DERIVED
from configs.reading.yaml_reader import Document, parse_value, read_yaml
from configs.schema.derived_words import derivable_keys, put

COMMAND_LINE = "command line"
PRESETS_FOLDER = "presets"
YAML_SUFFIXES = (".yaml", ".yml")


@dataclass
class Layers:
    """Layers found so far, lowest first, with notes."""

    layers: list[Layer] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    data_is_stated: bool = False
    """Some layer sets `data`; if it is unusable, no second fault is needed for its absence."""

    def add_experiment(self, path: Path) -> None:
        """Add the bases of an experiment file, then the file itself.

        Raises:
            ConfigError: A file is missing, unreadable, or its own base.
        """
        self._add_file(path, ())

    def add_dataset(self, name: str, source: Source) -> None:
        """Add a data set YAML as the whole section `data`."""
        self.data_is_stated = True
        try:
            place = find_dataset_source(name, source)
            if place.suffix.lower() not in YAML_SUFFIXES:
                self._add_found_data(place, source)
                return
            document = read_yaml(place)
        except ConfigError as error:
            self.faults.append(str(error))
            return
        folder = document.path.parent.resolve()
        file = Source(display_name(document.path), folder, rank=source.rank, by_user=source.by_user)
        lines = {("data", *path): line for path, line in document.lines.items()}
        layer = self._layer({"data": document.values}, file, lines)
        self.notes += fill_missing(layer.values["data"], folder, file.name)
        layer.replaces_data = True
        self.layers.append(layer)

    def _add_found_data(self, place: Path, source: Source) -> None:
        """Add a folder or file whose content is to be recognised as the whole section `data`."""
        layer = Layer(sources={(): source})
        layer.values = {"data": {"format": "auto", "path": str(place)}}
        layer.replaces_data = True
        self.layers.append(layer)

    def add_overrides(self, overrides: Sequence[str]) -> None:
        """Add `section.key=value` settings; several are one layer, so their order is free."""
        source = Source(COMMAND_LINE, Path.cwd(), rank=len(self.layers) + 1)
        stated = Layer(sources={(): source})
        for override in overrides:
            key, separator, text = override.partition("=")
            if not separator or not all(key.strip().split(".")):
                self.faults.append(f"{override!r} ({COMMAND_LINE}) must read section.key=value")
                continue
            path = tuple(key.strip().split("."))
            try:
                self._put(stated, path, parse_value(text), source)
            except ConfigError as error:
                self.faults.append(f"{key} ({COMMAND_LINE}): {error}")
        self._add_stated(stated.values, source, {})

    def _put(self, layer: Layer, path: KeyPath, value: object, source: Source) -> None:
        """Set an override; a data set file and keys laid over it may both be given."""
        inherited = layer.values.get("data")
        if path[0] == "data" and isinstance(inherited, str) and len(path) > 1:
            self.add_dataset(inherited, source)
            layer.drop(("data",))
        elif path == ("data",) and isinstance(value, str) and isinstance(inherited, dict):
            self.add_dataset(value, source)
            return
        layer.put(path, value, source)

    def _add_file(self, path: Path, open_files: tuple[Path, ...]) -> None:
        try:
            here = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "links in a circle, or no name of a file"
            raise ConfigError(f"cannot read {display_name(path)}: {reason}") from None
        if here in open_files:
            cycle = " -> ".join(display_name(p) for p in (*open_files, here))
            raise ConfigError(f"base: a file is its own base: {cycle}")
        document = read_yaml(path)
        if is_dataset(document.values):
            raise ConfigError(
                f"{display_name(path)} is a data set, not an experiment; give it as data={path}"
            )
        by_user = here.parent.name != PRESETS_FOLDER
        if document.values.pop("resolved", False) is True:
            by_user = False
            _take_words(document)
        file = Source(display_name(path), here.parent, by_user=by_user)
        for name in _bases(document, file):
            base = find_yaml(name, file.at(document.lines[("base",)]), "base")
            self._add_file(base, (*open_files, here))
        source = Source(file.name, file.folder, rank=len(self.layers) + 1, by_user=by_user)
        self._add_stated(document.values, source, dict(document.lines))

    def _add_stated(
        self, values: dict[str, Any], source: Source, lines: dict[KeyPath, int]
    ) -> None:
        if isinstance(values.get("data"), str):
            self.add_dataset(values.pop("data"), source.at(lines.get(("data",))))
        self.data_is_stated |= "data" in values
        self.layers.append(self._layer(values, source, lines))

    def _layer(self, values: dict[str, Any], source: Source, lines: dict[KeyPath, int]) -> Layer:
        where = source.at(lines.get(("data",))).where
        if isinstance(values.get("data"), dict):
            found = normalise(values["data"], where)
            values["data"] = found.values
            self.notes += found.notes
            self.faults += found.faults
            for ours, stated in found.renamed.items():
                lines = {**lines, ("data", ours): lines.get(("data", stated), 0)}
        sources = {path: source.at(line or None) for path, line in lines.items()}
        layer = Layer(sources={(): source, **sources})
        layer.values = self._with_text_keys(values, (), layer)
        return layer

    def _with_text_keys(self, values: dict[Any, Any], path: KeyPath, layer: Layer) -> Any:
        """Return nested settings whose keys are text; other keys cannot be right."""
        result = {}
        for key, value in values.items():
            inner = (*path, str(key))
            if not isinstance(key, str):
                self.faults.append(unknown_key(".".join(inner), layer.source(inner).where))
                continue
            is_group = isinstance(value, dict)
            result[key] = self._with_text_keys(value, inner, layer) if is_group else value
        return result


def _bases(document: Document, file: Source) -> list[str]:
    stated = document.values.pop("base", [])
    names = [stated] if isinstance(stated, str) else stated
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    where = file.at(document.lines[("base",)]).where
    raise ConfigError(f"base ({where}) must be the name of a YAML, or a list of names")


def _take_words(document: Document) -> None:
    """Replace derived numbers of a resolved file by the words they came from."""
    words = document.values.pop(DERIVED, {})
    for key, word in words.items() if isinstance(words, dict) else ():
        if key in derivable_keys() and isinstance(word, str):
            with suppress(KeyError, TypeError):
                put(document.values, key, word)
