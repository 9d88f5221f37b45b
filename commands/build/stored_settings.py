"""Settings in a weights file: those of the training, without machine settings.

Paths, numbers of processes and threads, device and memory limits are not stored. So equal runs give
equal files in any folder, and a published file names no folder.
"""

import os
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

from configs.errors import ConfigError
from configs.origins import Source
from configs.reading.locate import find_data_folder
from configs.reading.yaml_reader import read_yaml
from configs.schema import Experiment
from data.synthetic.generate import MANIFEST
from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import is_regular
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.machine.threads import available_cores

LARGEST_BATCH = 64
MOST_DETECTIONS = 100_000
_OF_THE_MACHINE = {
    "run": None,
    "hooks": None,
    "train": ("workers", "cache", "cache_limit", "tensorboard"),
    "data": ("cache",),
    "model": ("graph",),
}
"""Keys that a weights file does not keep; whole sections where None. Its graph is beside them."""


def shareable_settings(experiment: Experiment) -> dict[str, Any]:
    """Return settings as a weights file keeps them.

    Paths below the working directory become relative to it; of others the name stays.
    """
    settings = experiment.model_dump(mode="json")
    for section, keys in _OF_THE_MACHINE.items():
        if keys is None:
            settings.pop(section, None)
        else:
            settings[section] = {k: v for k, v in settings[section].items() if k not in keys}
    root = str(settings["data"].get("path", ""))
    for key, value in settings["data"].items():
        if key not in ("class_names", "classes"):
            settings["data"][key] = _without_folders(value, "" if key == "path" else root)
    settings["model"] = _without_folders(settings["model"], "")
    return settings


def _without_folders(value: Any, root: str) -> Any:
    """Return nested values whose full paths are relative to `root` or here, else names alone."""
    if isinstance(value, dict):
        return {key: _without_folders(inner, root) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_folders(inner, root) for inner in value]
    if not isinstance(value, str):
        return value
    if PureWindowsPath(value).drive:
        return PureWindowsPath(value).name
    if not os.path.isabs(value):
        return value
    for base in filter(None, (root, os.getcwd())):
        if Path(value).is_relative_to(base):
            return Path(value).relative_to(base).as_posix()
    return Path(value).name


def with_data_found(stored: Mapping[str, Any], weights: Path) -> dict[str, Any]:
    """Return stored settings with the location of the data set on this machine.

    Weights in their run folder: all that the run's configuration says of the data, which names
    splits outside the data set's folder in full, too; else below the usual places.

    Raises:
        UserError: it is in none of them.
    """
    data = dict(stored["data"]) if isinstance(stored.get("data"), dict) else {}
    name = data.get("path")
    if not isinstance(name, str):
        return dict(stored)
    if of_run := _data_of_run(weights, Path(name).name):
        return {**stored, "data": of_run}
    try:
        folder, _ = find_data_folder(name, Source("weights", weights.parent))
        if data.get("format") == "synthetic" and not is_regular(folder / MANIFEST):
            raise ConfigError(f"{folder} does not hold generated images")
    except ConfigError as error:
        raise UserError(
            f"{weights} was trained on the data set {name!r}, which is not found here: name it "
            f"with --data ({error})"
        ) from error
    data["path"] = str(folder)
    return {**stored, "data": data}


def _data_of_run(weights: Path, name: str) -> dict[str, Any] | None:
    """Return the data section of the run that the weights lie in, if it is of that data set."""
    config = RunFolder(weights.parent).config
    if not is_regular(config):
        return None
    try:
        data = read_yaml(config).values.get("data")
    except ConfigError:
        return None
    path = data.get("path") if isinstance(data, dict) else None
    return data if isinstance(path, str) and Path(path).name == name else None


def stored_settings(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored configuration by section, with this machine's limits laid over it."""
    stored = {
        name: dict(section) if isinstance(section, dict) else section
        for name, section in dict(metadata.get("config", {})).items()
    }
    cores = available_cores()
    if "train" in stored:
        train = stored["train"]
        _limit(train, "workers", cores)
        if isinstance(train.get("threads"), int) and train["threads"] > cores:
            train["threads"] = 0
    if "eval" in stored:
        _limit(stored["eval"], "batch_size", LARGEST_BATCH)
        _limit(stored["eval"], "max_detections", MOST_DETECTIONS)
        _limit(stored["eval"], "max_candidates", 100 * MOST_DETECTIONS)
    return stored


def _limit(section: dict[str, Any], key: str, most: int) -> None:
    if type(section.get(key)) is int:
        section[key] = min(section[key], most)
