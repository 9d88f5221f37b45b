"""Data set YAMLs, ours and those published for YOLOv5-style trainers.

Of the published form, `names` (a list, or a mapping from class index) is read as `class_names`,
`nc` is compared with their count, a missing `format` means yolo, a missing `path` the folder of
the YAML; `download` and `roboflow` are ignored with a note, nothing is ever downloaded or run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import ConfigError

IGNORED = ("download", "roboflow", "channels", "flip_idx", "minival", "description")
_OTHER_NAMES = {
    "valid": "val",
    "validation": "val",
    "kpt_shape": "keypoints",
    "Train": "train",
    "Validation": "val",
    "Val": "val",
    "Test": "test",
}
_SPLITS = ("train", "val", "test")


@dataclass
class Normalised:
    """A data set's keys in our schema."""

    values: dict[str, Any]
    renamed: dict[str, str] = field(default_factory=dict)
    """Our key -> the key in the file."""
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def normalise(values: dict[str, Any], where: str) -> Normalised:
    """Translate the keys of a published data set YAML to the schema."""
    result = Normalised(values=dict(values))
    for name in IGNORED:
        if name in result.values:
            del result.values[name]
            result.notes.append(f"data.{name} ({where}) is ignored: nothing is downloaded or run")
    for other, name in _OTHER_NAMES.items():
        if other in result.values and name not in result.values:
            result.values[name] = result.values.pop(other)
            result.renamed[name] = other
    for name in _SPLITS:
        if isinstance(result.values.get(name), str):
            result.values[name] = result.values[name].strip() or None
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
    count = values.pop("nc", None)
    if "class_names" not in values:
        return
    names = values["class_names"]
    if names == {}:
        raise ConfigError(
            f"data.class_names is empty ({where}); without it the files give the names"
        )
    if isinstance(names, dict):
        by_index = {_as_index(key): name for key, name in names.items()}
        if set(by_index) != set(range(len(names))):
            del values["class_names"]
            indices = ", ".join(map(str, names)) or "none"
            raise ConfigError(
                f"class names ({where}) must have the indices 0 to {max(len(names) - 1, 0)}, "
                f"found {indices}{_advice(by_index)}"
            )
        names = [by_index[index] for index in range(len(names))]
    if isinstance(names, list):
        is_number = [isinstance(name, int) and not isinstance(name, bool) for name in names]
        names = list(map(str, names)) if names and all(is_number) else names
    values["class_names"] = names
    if count is not None and isinstance(names, list) and count != len(names):
        raise ConfigError(f"data.nc is {count} ({where}), but there are {len(names)} class names")


def _advice(names: Mapping[object, object]) -> str:
    """Return a remedy for names that count from 1; the ids in the labels may count from 0."""
    if set(names) != set(range(1, len(names) + 1)):
        return ""
    listed = ", ".join(str(names[index]) for index in range(1, len(names) + 1))
    return (
        f"; write names: [{listed}], and first_class: 1 if the ids in the label files count from 1"
    )


def _as_index(key: object) -> object:
    return int(key) if isinstance(key, str) and key.strip().isdecimal() else key


def is_dataset(values: Mapping[Any, Any]) -> bool:
    """Tell whether a YAML is a data set rather than an experiment."""
    has_names = bool({"names", "class_names", "nc"} & set(values))
    return has_names or isinstance(values.get("train"), str | list)


def fill_missing(values: dict[str, Any], folder: Path, where: str = "") -> list[str]:
    """Add the format, and as root the folder of the YAML, which a published YAML leaves out.

    Returns:
        Notes on what was added that a person may not expect.
    """
    if values.get("format", "yolo") != "synthetic" and "path" not in values:
        values["path"] = str(folder)
    is_folder_alone = not {"train", "val", "test", "format"} & set(values)
    values.setdefault("format", "auto" if is_folder_alone else "yolo")
    if values["format"] == "yolo" and values.get("train") is None and values.get("val"):
        values["train"] = values.pop("val")
        return [f"only val is set ({where}): it is trained on, and there is no val split"]
    return []
