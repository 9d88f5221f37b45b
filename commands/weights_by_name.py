"""Published weights by name: where they are on this machine, and how a person gets them there."""

import os
from pathlib import Path

from configs.origins import CONFIGS_FOLDER
from configs.reading.locate import best_weights, is_file_name, stated_weights_folder
from configs.reading.weights.published import (
    PublishedWeights,
    is_bare_name,
    nearest_published,
    read_published,
)
from utils.runtime.errors import UserError
from utils.runtime.files.cache_folder import user_cache_folder
from utils.runtime.printable import shortened

SUFFIX = ".safetensors"
RUNS = Path("runs")
"""Where runs usually are."""


def weights_folders() -> tuple[Path, ...]:
    """Return where weights are looked for by name, first place first: $FOCALDET_WEIGHTS where it is
    set, and the folder of the user's cache. They need not exist.
    """
    return (*stated_weights_folder(), user_cache_folder() / "weights")


def find_weights_file(stated: str) -> Path:
    """Return the file that weights were given as: a path, a run's folder, a published name, or the
    name of a file in one of the folders of weights.

    Args:
        stated: what exists goes before a name; what is neither is returned as it is.

    Raises:
        UserError: weights of that name are known but not on this machine, or the name is nearly
            one; says what to do.
        ConfigError: the catalogue cannot be read.
    """
    # A name may be longer than a file system takes: os.path answers no where pathlib raises.
    if os.path.isfile(stated):
        return Path(stated)
    path = best_weights(Path(stated))
    if is_file_name(stated) and not os.path.lexists(path):
        places = [folder / stated for folder in weights_folders()]
        return next((place for place in places if os.path.isfile(place)), path)
    if not is_bare_name(stated) or os.path.exists(path):
        return path
    catalogue = read_published()
    if stated not in catalogue and (CONFIGS_FOLDER / "models" / f"{stated}.yaml").is_file():
        raise UserError(
            f"{stated}: the name of a network, not of weights; train it with model.graph={stated}, "
            "or see convert.py --list for weights that can be fetched"
        )
    if stated not in catalogue:
        close = nearest_published(stated, catalogue)
        if close is None:
            return path
        raise UserError(
            f"{stated}: no such file, run or published weights; did you mean {close!r}?"
        )
    places = [folder / f"{stated}{SUFFIX}" for folder in weights_folders()]
    for place in places:
        if place.is_file():
            return place
    raise UserError(_how_to_get(stated, catalogue[stated]))


def require_weights(stated: str) -> Path:
    """Return the file that weights were given as.

    Raises:
        UserError: there is none; says where weights come from.
        ConfigError: the catalogue cannot be read.
    """
    path = find_weights_file(stated)
    if not os.path.lexists(path):
        known = RUNS / stated
        hint = (
            f"did you mean {known}?"
            if best_weights(known) != known
            else "convert.py --list names weights that can be fetched"
        )
        raise UserError(f"cannot read {shortened(path)}: no such file or run; {hint}")
    return path


def _how_to_get(name: str, entry: PublishedWeights) -> str:
    folders = weights_folders()
    return (
        f"{name} is not on this machine (looked in {', '.join(map(str, folders))}): "
        f"python convert.py --get {name} fetches it, {entry.size_text}, {entry.licence}, "
        f"from {entry.urls[0]}"
    )


def list_weights() -> list[str]:
    """Return a line for each name: parameters, AP, input size, length, licence, source, place.

    Raises:
        ConfigError: a catalogue cannot be read.
    """
    lines = ["name          params  AP, COCO  input           file  licence"]
    for name, entry in read_published().items():
        ap = "not given" if entry.ap is None else f"{entry.ap:.1f}"
        lines.append(
            f"{name:<12} {entry.parameters:>5.2f} M {ap:>10} {entry.image_size:>4} px "
            f"{entry.size_text:>15}  {entry.licence:<12} {entry.source}{_place(name)}"
        )
    return [*lines, "AP as the authors give it, in percent; fetch one with --get NAME"]


def _place(name: str) -> str:
    try:
        return f"; in {find_weights_file(name)}"
    except UserError:
        return ""
