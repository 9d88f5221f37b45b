"""Merge the file of a design with its base, and record the origin of each key."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.origins import KeyPath, Source, display_name
from configs.reading.locate import find_experiment, find_yaml
from configs.reading.merge import merge_stated
from configs.reading.overrides import nested
from configs.reading.yaml_reader import read_yaml
from configs.schema.comparison import ComparisonSettings
from configs.schema.keys import Group
from configs.schema.tuning import Overrides

_DESIGN = Group(variants=(ComparisonSettings,))


@dataclass(frozen=True)
class StatedDesign:
    """The settings of a design's files, unchecked."""

    path: Path
    values: dict[str, Any]
    places: Mapping[KeyPath, str]
    """Key -> file:line."""
    experiment_folder: Path
    """Folder of the file that sets `experiment`."""

    def where(self, path: KeyPath) -> str:
        """Return where a key, or else the innermost group around it, was set."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path] if path else display_name(self.path)


def read_design(path: Path) -> StatedDesign:
    """Read a design and those below it.

    `base` names a design whose settings and arms are kept unless they are set again; an arm set
    again changes the arm below as an experiment changes its base. `name` is not inherited.

    Raises:
        ConfigError: a file cannot be read, or is its own base.
    """
    return _read(find_experiment(path), ())


def _read(path: Path, open_files: tuple[Path, ...]) -> StatedDesign:
    here, name = path.resolve(), display_name(path)
    if here in open_files:
        cycle = " -> ".join(display_name(one) for one in (*open_files, here))
        raise ConfigError(f"base: a design is its own base: {cycle}")
    document = read_yaml(path)
    places = {key: f"{name}:{line}" for key, line in document.lines.items()}
    values = dict(document.values)
    base = values.pop("base", None)
    if base is None:
        return StatedDesign(path, values, places, here.parent)
    source = Source(name, here.parent, line=document.lines[("base",)])
    if not isinstance(base, str):
        raise ConfigError(f"base ({source.where}) must be the name of a design's YAML")
    below = _read(find_yaml(base, source, "base"), (*open_files, here))
    inherited = {key: value for key, value in below.values.items() if key != "name"}
    return StatedDesign(
        path,
        laid_over(inherited, values),
        {**below.places, **places},
        here.parent if "experiment" in values else below.experiment_folder,
    )


def laid_over(lower: Overrides, upper: Overrides) -> Overrides:
    """Return a design laid over another one; settings and arms are settings of an experiment."""
    lower, upper = _spelled_out(lower), _spelled_out(upper)
    result = merge_stated(lower, upper, _DESIGN)
    for key in {"settings", "arms"} & lower.keys() & upper.keys():
        below, above = lower[key], upper[key]
        if isinstance(below, dict) and isinstance(above, dict):
            result[key] = merge_stated(below, above) if key == "settings" else _arms(below, above)
    return result


def _arms(lower: Overrides, upper: Overrides) -> Overrides:
    both = {
        name: merge_stated(lower[name] or {}, upper[name] or {}) for name in lower if name in upper
    }
    return {**lower, **upper, **both}


def _spelled_out(values: Overrides) -> Overrides:
    """Return a design with dotted keys of settings and arms nested, ready to be merged."""
    values = dict(values)
    if isinstance(values.get("settings"), dict):
        values["settings"] = nested(values["settings"])
    if isinstance(values.get("arms"), dict):
        arms = values["arms"].items()
        values["arms"] = {arm: nested(s) if isinstance(s, dict) else s for arm, s in arms}
    return values
