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
    path = Path(stated).expanduser()
    roots = [source.folder]
    if os.environ.get(DATASETS_VARIABLE):
        roots.append(Path(os.environ[DATASETS_VARIABLE]).expanduser())
    roots.append(Path("datasets"))
    places = list(dict.fromkeys(_absolute(root / path) for root in roots))
    for place in places:
        if place.is_dir():
            return place
    tried = ", ".join(map(str, places))
    hint = f"state data.path or set ${DATASETS_VARIABLE} to the folder that holds your data sets"
    raise ConfigError(f"data.path {stated!r} ({source.where}) is no folder; tried {tried}; {hint}")


def find_weights(stated: str, source: Source) -> str:
    """Return the full name of a weights file; the stated one where no such file is found."""
    for folder in (source.folder, Path.cwd()):
        place = folder / Path(stated).expanduser()
        if place.is_file():
            return str(_absolute(place))
    return stated


def _first_file(name: str, folders: list[Path], source: Source, key: str) -> Path:
    places = list(dict.fromkeys(_absolute(f / Path(name).expanduser()) for f in folders))
    for place in places:
        if place.is_file():
            return place
    tried = ", ".join(display_name(place) for place in places)
    raise ConfigError(f"{key} {name!r} ({source.where}) is no file; tried {tried}")


def _absolute(path: Path) -> Path:
    return path.resolve()
