"""Data set YAMLs, ours and those published for YOLOv5-style trainers.

Of the published form, `names` (a list, or a mapping from class index) is read as `class_names`,
`nc` is compared with their count, a missing `format` means yolo, a missing `path` the folder of
the YAML; `download` and `roboflow` are ignored with a note, nothing is ever downloaded or run.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import ConfigError

IGNORED = ("download", "roboflow")


@dataclass
class Normalised:
    """A data set's keys in our words."""

    values: dict[str, Any]
    renamed: dict[str, str] = field(default_factory=dict)
    """Our key -> the key it was stated as."""
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def normalise(values: dict[str, Any], where: str) -> Normalised:
    """Put the keys of a published data set YAML into the words of the schema."""
    result = Normalised(values=dict(values))
    for name in IGNORED:
        if name in result.values:
            del result.values[name]
            result.notes.append(f"data.{name} ({where}) is ignored: nothing is downloaded or run")
    if "names" in result.values and "class_names" not in result.values:
        result.values["class_names"] = result.values.pop("names")
        result.renamed["class_names"] = "names"
    elif "names" in result.values:
        del result.values["names"]
        result.faults.append(f"data.names and data.class_names ({where}) are the same; keep one")
    try:
        _check_class_names(result.values, where)
    except ConfigError as error:
        result.faults.append(str(error))
    return result


def _check_class_names(values: dict[str, Any], where: str) -> None:
    if "class_names" not in values:
        return
    names = values["class_names"]
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            del values["class_names"]
            indices = ", ".join(map(str, names)) or "none"
            raise ConfigError(
                f"class names ({where}) must have the indices 0 to {max(len(names) - 1, 0)}, "
                f"found {indices}"
            )
        names = values["class_names"] = [names[index] for index in range(len(names))]
    count = values.pop("nc", None)
    if count is not None and isinstance(names, list) and count != len(names):
        raise ConfigError(f"data.nc is {count} ({where}), but there are {len(names)} class names")


def fill_missing(values: dict[str, Any], folder: Path) -> None:
    """Add the format, and as root the folder of the YAML, which a published YAML leaves out."""
    if values.get("format", "yolo") != "synthetic" and "path" not in values:
        values["path"] = str(folder)
    values.setdefault("format", "yolo")
