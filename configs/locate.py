"""Finding the files and folders that a configuration names.

A relative name belongs to the YAML that states it; one on the command line to the working
directory. What is not there is looked for where users keep such things, and an error lists all
places.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from configs.errors import ConfigError
from configs.sources import CONFIGS_FOLDER, Source, display_name
from configs.stated_paths import find_stated, parts_of

DATASETS_VARIABLE = "FOCALDET_DATASETS"


def find_yaml(name: str, source: Source, key: str) -> Path:
    """Find the YAML that a key names: beside the stating file, then in configs/.

    Raises:
        ConfigError: It is in none of the places, all of which are listed.
    """
    return _first_file(name, [source.folder, CONFIGS_FOLDER], source, key)


def find_experiment(stated: Path) -> Path:
    """Find an experiment's YAML: as stated, else by its name, with or without suffix, in configs/.

    Raises:
        ConfigError: There is none; lists the places.
    """
    named = stated if stated.suffix else stated.with_suffix(".yaml")
    shipped = Path(*named.parts[1:]) if named.parts[:1] == (CONFIGS_FOLDER.name,) else named
    places = [stated, named, CONFIGS_FOLDER / shipped]
    for place in places:
        if place.is_file():
            return place
    tried = ", ".join(dict.fromkeys(display_name(_absolute(place)) for place in places))
    raise ConfigError(f"cannot read {stated}: no such file; tried {tried}")


def find_graph(name: str, source: Source) -> Path:
    """Find a model graph: beside the stating file, in the working directory, in configs/."""
    return _first_file(name, [source.folder, Path.cwd(), CONFIGS_FOLDER], source, "model.graph")


def find_dataset_source(name: str, source: Source) -> Path:
    """Find what a data set is given as: a file, a folder, or the name of one in configs/datasets.

    Raises:
        ConfigError: It is in none of the places, all of which are listed.
    """
    if not Path(name).suffix:
        shipped = CONFIGS_FOLDER / "datasets" / f"{name}.yaml"
        if shipped.is_file():
            return shipped
    places = [_absolute(root / Path(name).expanduser()) for root in _data_roots(source)]
    places.insert(1, _absolute(CONFIGS_FOLDER / name))
    for place in dict.fromkeys(places):
        if place.exists():
            return place
    tried = ", ".join(display_name(place) for place in dict.fromkeys(places))
    raise ConfigError(f"data {name!r} ({source.where}) not found; tried {tried}")


def _data_roots(source: Source) -> list[Path]:
    roots = [source.folder]
    if os.environ.get(DATASETS_VARIABLE):
        roots.append(Path(os.environ[DATASETS_VARIABLE]).expanduser())
    return [*roots, Path("datasets")]


def find_data_folder(
    stated: str, source: Source, sources: Sequence[str] = (), *, may_be_file: bool = False
) -> tuple[Path, str]:
    """Find the root folder of a data set.

    A relative path is tried against the folder of the YAML that states it (on the command line:
    the working directory), then $FOCALDET_DATASETS, then ./datasets, then the working directory and
    the folder around the YAML's.
    Where it is in none of them, but the YAML's own folder has its name or holds what the YAML
    names, the data set moved together with the YAML.

    Args:
        stated: The path.
        source: Where it is stated.
        sources: Folders and lists below it that the YAML names.
        may_be_file: Format auto takes files, too.

    Returns:
        The folder, and a note where it is not the stated one, else "".

    Raises:
        ConfigError: It is in none of the places, all of which are listed.
    """
    text = stated.strip() if "\\" not in stated else stated.strip().replace("\\", "/")
    path = Path(text).expanduser()
    roots = [*_data_roots(source), Path.cwd(), source.folder.parent]
    places = list(dict.fromkeys(_absolute(root / path) for root in roots))
    for place in places:
        if place.is_dir() or (may_be_file and place.exists()):
            return place, ""
    own = source.folder.resolve()
    has_its_name = bool(parts_of(stated)) and parts_of(stated)[-1] == own.name
    found = [find_stated(name, own, may_leave=False) for name in sources]
    if has_its_name or (found and all(found)):
        gone = f"data.path {stated!r} ({source.where}) does not exist"
        return own, f"{gone}: {own} taken, where the YAML lies"
    tried = ", ".join(map(str, places))
    hint = f"state data.path or set ${DATASETS_VARIABLE} to the folder that holds your data sets"
    raise ConfigError(f"data.path {stated!r} ({source.where}) not found; tried {tried}; {hint}")


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
