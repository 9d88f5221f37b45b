"""Finding the files and folders that a configuration names.

A relative name belongs to the YAML that states it; one on the command line to the working
directory. What is not there is looked for where users keep such things, and an error lists all
places.
"""

import os
from pathlib import Path

from configs.errors import ConfigError
from configs.sources import CONFIGS_FOLDER, Source, display_name

DATASETS_VARIABLE = "FOCALDET_DATASETS"


def find_yaml(name: str, source: Source, key: str) -> Path:
    """Find the YAML that a key names: beside the stating file, then in configs/.

    Raises:
        ConfigError: It is in none of the places, all of which are listed.
    """
    return _first_file(name, [source.folder, CONFIGS_FOLDER], source, key)


def find_graph(name: str, source: Source) -> Path:
    """Find a model graph: beside the stating file, in the working directory, in configs/."""
    return _first_file(name, [source.folder, Path.cwd(), CONFIGS_FOLDER], source, "model.graph")


def find_dataset_yaml(name: str, source: Source) -> Path:
    """Find a data set's YAML: as `find_yaml`, or by its bare name in configs/datasets."""
    shipped = CONFIGS_FOLDER / "datasets" / f"{name}.yaml"
    return shipped if shipped.is_file() else find_yaml(name, source, "data")


def find_data_folder(stated: str, source: Source) -> Path:
    """Find the root folder of a data set.

    A relative path is tried against the folder of the YAML that states it (on the command line:
    the working directory), then $FOCALDET_DATASETS, then ./datasets.

    Raises:
        ConfigError: It is in none of the places, all of which are listed.
    """
    path = _expanded(stated, source, "data.path")
    roots = [source.folder]
    if os.environ.get(DATASETS_VARIABLE):
        roots.append(Path(os.environ[DATASETS_VARIABLE]).expanduser())
    roots.append(Path("datasets"))
    places = _places(path, roots, source, "data.path")
    for place in places:
        if os.path.isdir(place):
            return place
    tried = ", ".join(map(str, places))
    hint = f"state data.path or set ${DATASETS_VARIABLE} to the folder that holds your data sets"
    raise ConfigError(f"data.path {stated!r} ({source.where}) is no folder; tried {tried}; {hint}")


def find_weights(stated: str, source: Source) -> str:
    """Return the full name of a weights file; the stated one where no such file is found."""
    try:
        for folder in (source.folder, Path.cwd()):
            place = folder / Path(stated).expanduser()
            if os.path.isfile(place):
                return str(absolute(place))
    except _NO_PATH:
        pass
    return stated


def _first_file(name: str, folders: list[Path], source: Source, key: str) -> Path:
    places = _places(_expanded(name, source, key), folders, source, key)
    for place in places:
        if os.path.isfile(place):
            return place
        if os.path.exists(place) and not os.path.isdir(place):
            raise ConfigError(
                f"{key} {_shown(name)} ({source.where}) is a pipe or a device, not a file"
            )
    tried = ", ".join(display_name(place) for place in places)
    raise ConfigError(f"{key} {_shown(name)} ({source.where}) is no file; tried {tried[:1000]}")


def absolute(path: Path) -> Path:
    """Return the full name of a path, links followed.

    Raises:
        OSError, RuntimeError, ValueError: links in a circle, or a name no file can have.
    """
    return path.resolve()


_NO_PATH = (OSError, RuntimeError, ValueError)
"""What pathlib raises for links in a circle, unknown homes and names that no file can have."""
_LONGEST = 200


def _shown(name: str) -> str:
    text = repr(name)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _expanded(name: str, source: Source, key: str) -> Path:
    try:
        return Path(name).expanduser()
    except _NO_PATH as error:
        raise ConfigError(f"{key} {_shown(name)} ({source.where}): {error}") from None


def _places(path: Path, folders: list[Path], source: Source, key: str) -> list[Path]:
    """Return the full names that `path` may have, each once."""
    try:
        return list(dict.fromkeys(absolute(folder / path) for folder in folders))
    except _NO_PATH as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{key} {_shown(str(path))} ({source.where}) cannot be a file: {str(reason)[:_LONGEST]}"
        ) from None
