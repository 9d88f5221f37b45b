"""Finding the files and folders that a configuration names.

A relative name is relative to the YAML that sets it; on the command line to the working directory.
Then the usual places are searched, and an error lists all of them.
"""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from configs.errors import ConfigError
from configs.origins import CONFIGS_FOLDER, Source, display_name
from configs.reading.stated_paths import find_stated, parts_of

DATASETS_VARIABLE = "FOCALDET_DATASETS"
WEIGHTS_VARIABLE = "FOCALDET_WEIGHTS"


def find_yaml(name: str, source: Source, key: str) -> Path:
    """Find the YAML that a key names: beside the file that sets it, then in configs/.

    Raises:
        ConfigError: It is in none of the places, all of which are listed.
    """
    return _first_file(name, [source.folder, CONFIGS_FOLDER], source, key)


def find_experiment(stated: Path) -> Path:
    """Find an experiment's YAML: as given, else by its name, with or without suffix, in configs/.

    Raises:
        ConfigError: There is none; lists the places.
    """
    try:
        named = stated if stated.suffix else stated.with_suffix(".yaml")
        shipped = Path(*named.parts[1:]) if named.parts[:1] == (CONFIGS_FOLDER.name,) else named
        places = [stated, named, CONFIGS_FOLDER / shipped]
        for place in places:
            if os.path.isfile(place):
                return place
        tried = ", ".join(dict.fromkeys(display_name(absolute(place)) for place in places))
    except _NO_PATH as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{_shown(str(stated))} cannot be read: {str(reason)[:_LONGEST]}"
        ) from None
    known = [str(path.relative_to(CONFIGS_FOLDER)) for path in CONFIGS_FOLDER.rglob("*.yaml")]
    close = get_close_matches(str(shipped)[:_LONGEST], known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise ConfigError(
        f"cannot read {str(stated)[:_LONGEST]}: no such file; tried {tried[:1000]}{hint}"
    )


def find_graph(name: str, source: Source) -> Path:
    """Find a model graph: beside the file that sets it, in the working directory, in configs/.

    The suffix and the folder of a shipped one may be left out, as in yolov5s.

    Raises:
        ConfigError: it is in none of these places.
    """
    named = name if name.endswith((".yaml", ".yml")) else f"{name}.yaml"
    shipped = CONFIGS_FOLDER / "models"
    folders = [source.folder, Path.cwd(), CONFIGS_FOLDER]
    try:
        if named != name and os.path.isfile(source.folder / name):
            return _first_file(name, folders, source, "model.graph")
        return _first_file(named, [*folders, shipped], source, "model.graph")
    except ConfigError as error:
        known = [path.stem for path in shipped.glob("*.yaml")]
        close = get_close_matches(os.path.basename(named).removesuffix(".yaml"), known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConfigError(f"{error}{hint}") from None


def find_dataset_source(name: str, source: Source) -> Path:
    """Find a data set: a file, a folder, or the name of one in configs/datasets.

    Raises:
        ConfigError: It is in none of the places, all of which are listed.
    """
    if not Path(name).suffix:
        shipped = CONFIGS_FOLDER / "datasets" / f"{name}.yaml"
        if os.path.isfile(shipped):
            return shipped
    path = _expanded(name, source, "data")
    places = _places(path, _data_roots(source), source, "data")
    places[1:1] = _places(Path(name), [CONFIGS_FOLDER], source, "data")
    for place in dict.fromkeys(places):
        if os.path.exists(place):
            return place
    tried = ", ".join(display_name(place) for place in dict.fromkeys(places))
    raise ConfigError(f"data {_shown(name)} ({source.where}) not found; tried {tried[:1000]}")


def _data_roots(source: Source) -> list[Path]:
    roots = [source.folder]
    if os.environ.get(DATASETS_VARIABLE):
        roots.append(Path(os.environ[DATASETS_VARIABLE]).expanduser())
    return [*roots, Path("datasets")]


def find_data_folder(
    stated: str, source: Source, sources: Sequence[str] = (), *, may_be_file: bool = False
) -> tuple[Path, str]:
    """Find the root folder of a data set.

    A relative path is tried against the folder of the YAML that sets it (on the command line:
    the working directory), then $FOCALDET_DATASETS, then ./datasets, then the working directory and
    the folder around the YAML's.
    Where it is in none of them, but the YAML's own folder has its name or contains what the YAML
    names, the data set moved together with the YAML.

    Args:
        stated: The path.
        source: Where it is set.
        sources: Folders and lists below it that the YAML names.
        may_be_file: Format auto takes files, too.

    Returns:
        The folder, and a note where it is not the given one, else "".

    Raises:
        ConfigError: It is in none of the places, all of which are listed.
    """
    text = stated.strip() if "\\" not in stated else stated.strip().replace("\\", "/")
    path = _expanded(text, source, "data.path")
    roots = [*_data_roots(source), Path.cwd(), source.folder.parent]
    places = _places(path, roots, source, "data.path")
    for place in places:
        if os.path.isdir(place) or (may_be_file and os.path.isfile(place)):
            return place, ""
    if any(os.path.exists(place) and not os.path.isfile(place) for place in places):
        what = "a pipe or a device, not a folder"
        raise ConfigError(f"data.path {_shown(stated)} ({source.where}) is {what}")
    own = source.folder.resolve()
    has_its_name = bool(parts_of(stated)) and parts_of(stated)[-1] == own.name
    found = [find_stated(name, own, may_leave=False) for name in sources]
    if has_its_name or (found and all(found)):
        gone = f"data.path {_shown(stated)} ({source.where}) does not exist"
        return own, f"{gone}: {own} taken, the folder of the YAML"
    tried = ", ".join(map(str, places))
    hint = f"set data.path or ${DATASETS_VARIABLE} to the folder of your data sets"
    if _is_public(source):
        hint = f"check_data.py --get {Path(source.name).stem} fetches it, or {hint}"
    raise ConfigError(
        f"data.path {_shown(stated)} ({source.where}) not found; tried {tried[:1000]}; {hint}"
    )


def _is_public(source: Source) -> bool:
    """Tell whether a place is in the YAML of a data set that can be fetched by its name."""
    listed = CONFIGS_FOLDER / "downloads" / "datasets.yaml"
    if source.folder != CONFIGS_FOLDER / "datasets" or not listed.is_file():
        return False
    return f"{Path(source.name).stem}:" in listed.read_text(encoding="utf-8").splitlines()


def find_weights(stated: str, source: Source) -> str:
    """Return the full name of weights, a file or a run; the given one where there are none.

    The name of a file alone is looked for in $FOCALDET_WEIGHTS, too.
    """
    try:
        shared = stated_weights_folder() if is_file_name(stated) else []
        for folder in (source.folder, Path.cwd(), *shared):
            place = folder / Path(stated).expanduser()
            place = best_weights(place)
            if os.path.isfile(place):
                return str(absolute(place))
    except _NO_PATH:
        pass
    return stated


def stated_weights_folder() -> list[Path]:
    """Return the folder $FOCALDET_WEIGHTS; nothing where it is not set."""
    folder = os.environ.get(WEIGHTS_VARIABLE)
    return [Path(folder).expanduser()] if folder else []


def is_file_name(stated: str) -> bool:
    """Tell whether this names a file without its folder, such as yolov5n.pt."""
    return bool(Path(stated).suffix) and parts_of(stated) == [stated]


def best_weights(path: Path) -> Path:
    """Return the best weights in the folder of a run; any other path as it is."""
    best = path / BEST_WEIGHTS
    return best if os.path.isfile(best) else path


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
    raise ConfigError(f"{key} {_shown(name)} ({source.where}) not found; tried {tried[:1000]}")


def absolute(path: Path) -> Path:
    """Return the full name of a path, links followed.

    Raises:
        OSError, RuntimeError, ValueError: links in a circle, or a name no file can have.
    """
    return path.resolve()


BEST_WEIGHTS = "best.safetensors"
"""Name of the best weights in the folder of a run."""
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
