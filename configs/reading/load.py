"""Reading a configuration: experiment file, bases, data set, command line -> checked settings.

Precedence, lowest first: defaults of the schema, `base:` files in order, the experiment file,
`section.key=value` overrides. All mistakes are collected and reported together.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.checks.contradictions import contradictions
from configs.checks.unused_keys import keys_without_effect
from configs.checks.validation_errors import check_keys, validate
from configs.errors import ConfigError
from configs.origins import KeyPath, Layer, Source, display_name, leaves
from configs.reading.fingerprint import fingerprint
from configs.reading.layering import COMMAND_LINE, Layers
from configs.reading.locate import find_data_folder, find_experiment, find_graph, find_weights
from configs.reading.merge import merge, schema_defaults
from configs.reading.resolved import resolved_yaml
from configs.reading.weights.published import with_origins
from configs.reading.yaml_reader import read_yaml
from configs.schema import Experiment
from configs.schema.data import Dataset
from configs.schema.derived_words import Derived, stated_words


@dataclass(frozen=True)
class LoadedExperiment:
    """A checked configuration and where each part of it comes from."""

    experiment: Experiment
    """The settings; data.path and model.graph are full names."""
    graph: Mapping[str, object]
    """Content of the model graph YAML."""
    graph_path: Path
    """The model graph YAML."""
    origins: Mapping[str, str]
    """Dotted key -> default, the name of a file, or command line."""
    path: Path
    """The experiment file."""
    notes: tuple[str, ...] = ()
    """Notes for the user, one sentence each."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Dotted key -> word, of the settings whose number configs/reading/derive.py derives."""
    derived: tuple[Derived, ...] = ()
    """The numbers derived from the words."""
    is_derived: bool = False
    """False while the schema's defaults are placeholders for `words`."""

    @property
    def hash(self) -> str:
        """12 hex digits over everything that can change the result, the graph included; the same
        before and after numbers are derived.
        """
        return fingerprint(self.experiment, self.graph, self.words)

    @property
    def network_name(self) -> str:
        """What reports call the network."""
        return self.experiment.model.name or self.graph_path.stem

    def require_derived(self) -> None:
        """Raise RuntimeError if placeholder numbers would be used."""
        if self.words and not self.is_derived:
            raise RuntimeError(f"numbers are not derived yet: {', '.join(self.words)}")

    def to_yaml(self) -> str:
        """Return all settings with their origins; loading the text gives the same experiment."""
        return resolved_yaml(self.experiment, self.origins, self.words)


def load_experiment(path: str | Path, overrides: Sequence[str] = ()) -> LoadedExperiment:
    """Read an experiment.

    Args:
        path: The experiment's YAML.
        overrides: Settings that go before the file's, `section.key=value` each, value in YAML.

    Raises:
        ConfigError: With one line for each mistake: key, value, place, what to do.
    """
    path = find_experiment(Path(path))
    stack = Layers()
    stack.add_experiment(path)
    stack.add_overrides(overrides)
    settings, faults = _merged(stack)
    graph_path, graph = _read_graph(settings, faults)
    experiment, found = _validated(settings, Source(display_name(path), path.parent), stack.notes)
    if experiment is not None:
        found += contradictions(experiment, graph, settings)
    if stack.data_is_stated:
        found = [fault for fault in found if not fault.startswith("data is missing")]
    experiment = _require(experiment, faults + found)
    return LoadedExperiment(
        experiment=experiment,
        graph=graph,
        graph_path=graph_path,
        origins=_origins(settings),
        path=path,
        notes=tuple(stack.notes),
        words=stated_words(settings),
    )


def load_dataset(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Dataset:
    """Read a data set YAML: a path, or the bare name of one in configs/datasets.

    Args:
        path_or_name: `my.yaml`, `bccd`, ...
        overrides: `data.key=value` settings that go before the file's.

    Raises:
        ConfigError: With one line for each mistake.
    """
    source = Source(COMMAND_LINE, Path.cwd())
    stack = Layers()
    stack.add_dataset(str(path_or_name), source)
    if not stack.layers:
        raise ConfigError("\n".join(stack.faults))
    other = [text for text in overrides if not text.startswith("data.")]
    stack.faults += [f"{text!r} ({COMMAND_LINE}): only data.* can be set here" for text in other]
    stack.add_overrides([text for text in overrides if text.startswith("data.")])
    settings, faults = _merged(stack)
    experiment, found = _validated(settings, source)
    return _require(experiment, faults + found).data


def experiment_from_mapping(
    mapping: Mapping[str, Any], overrides: Sequence[str] = ()
) -> Experiment:
    """Make settings from stored ones (JSON of a checkpoint), finding no folder.

    Args:
        mapping: Settings as `Experiment.model_dump(mode="json")` gives them.
        overrides: `section.key=value` settings that go before the stored ones.

    Raises:
        ConfigError: The mapping does not fit this version's schema; one line for each mistake.
    """
    source = Source("stored configuration", Path.cwd(), by_user=False)
    stack = Layers()
    stack.layers.append(Layer(values=json.loads(json.dumps(dict(mapping))), sources={(): source}))
    stack.add_overrides(overrides)
    settings = schema_defaults()
    faults = list(stack.faults)
    for layer in stack.layers:
        faults += check_keys(layer)
        merge(settings, layer)
    experiment, found = _validated(settings, source)
    return _require(experiment, faults + found)


def _merged(stack: Layers) -> tuple[Layer, list[str]]:
    """Lay all layers over the defaults and find the files and folders they name."""
    settings = schema_defaults()
    faults = list(stack.faults)
    for layer in with_origins(stack.layers, stack.notes):
        faults += check_keys(layer)
        if layer.replaces_data and "data" in settings.values:
            settings.drop(("data",))
        merge(settings, layer)
    _find_data(settings, faults, stack.notes)
    _find_weights(settings)
    return settings, faults


def _validated(
    settings: Layer, file: Source, notes: list[str] | None = None
) -> tuple[Experiment | None, list[str]]:
    """Make the settings; `file` is named where something is missing altogether."""
    settings.sources[()] = file
    experiment, faults = validate(settings)
    if experiment is not None:
        in_vain, idle = keys_without_effect(experiment, settings)
        faults += in_vain
        if notes is not None:
            notes += idle
    return experiment, faults


def _require(experiment: Experiment | None, faults: list[str]) -> Experiment:
    """Return the settings, or raise with all faults, one line each."""
    if faults or experiment is None:
        raise ConfigError("\n".join(dict.fromkeys(faults)))
    return experiment


def _find_data(settings: Layer, faults: list[str], notes: list[str]) -> None:
    data = settings.values.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("path"), str):
        return
    if data.get("format") == "synthetic":
        try:
            data["path"] = str(Path(data["path"]).expanduser().resolve())
        except (OSError, RuntimeError, ValueError) as error:
            faults.append(f"data.path {data['path'][:200]!r}: {error}")
        return
    try:
        source = settings.source(("data", "path"))
        folder, note = find_data_folder(
            data["path"], source, _stated_files(data), may_be_file=data.get("format") == "auto"
        )
        data["path"] = str(folder)
        notes += [note] if note else []
    except ConfigError as error:
        faults.append(str(error))


def _stated_files(data: Mapping[str, Any]) -> list[str]:
    """Return the folders and lists that a data set names below its root."""
    stated = [data.get(name) for name in ("train", "val")]
    return [
        name
        for value in stated
        for name in (
            [value] if isinstance(value, str) else value if isinstance(value, list) else []
        )
        if isinstance(name, str)
    ]


def _find_weights(settings: Layer) -> None:
    model = settings.values["model"]
    if isinstance(model.get("weights"), str):
        model["weights"] = find_weights(model["weights"], settings.source(("model", "weights")))


def _read_graph(settings: Layer, faults: list[str]) -> tuple[Path, dict[str, object]]:
    model = settings.values["model"]
    if not isinstance(model.get("graph"), str):
        return Path(), {}
    try:
        path = find_graph(model["graph"], settings.source(("model", "graph")))
        model["graph"] = str(path)
        return path, read_yaml(path).values
    except ConfigError as error:
        faults.append(str(error))
        return Path(), {}


def _origins(settings: Layer) -> dict[str, str]:
    keys: list[KeyPath] = list(leaves(settings.values))
    return {".".join(path): settings.source(path).name for path in keys}
