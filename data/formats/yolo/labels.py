"""Label file of each image of a YOLO data set.

The rule is `label_path`. If that file does not exist, unambiguous deviations of exports are tried:
labels beside the images, `Labels` beside `Images`, `x.jpg.txt`, `x.TXT`, or a name whose accents
are encoded in another way. Each is taken only if exactly one file fits.
"""

import os
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from data.formats.files import read_present


def label_path(image: str) -> str:
    """Return where the labels of an image are expected.

    The last folder named `images` in its path becomes `labels`, the last suffix becomes `.txt`.
    Without such a folder the labels are beside the image.
    """
    # Called for every image at every start: os.path.split and join would double its time.
    folder, separator, name = image.rpartition(os.sep)
    return f"{label_folder(folder)}{separator}{os.path.splitext(name)[0]}.txt"


@lru_cache(maxsize=1024)
def label_folder(folder: str) -> str:
    """Return the folder of the labels of images in `folder`."""
    parts = folder.split(os.sep)
    if "images" not in parts:
        return folder
    last = len(parts) - 1 - parts[::-1].index("images")
    return os.sep.join((*parts[:last], "labels", *parts[last + 1 :]))


def pair(images: Iterable[str]) -> tuple[dict[str, bytes], dict[str, str], list[str]]:
    """Return the contents of the label files that exist, and the label file of each image.

    An image without one has no entry. The list holds the label files that are taken though they
    lie where none is expected.
    """
    expected = {image: label_path(image) for image in images}
    contents = read_present(expected.values())
    label_of = {image: label for image, label in expected.items() if label in contents}
    missing = [image for image in expected if image not in label_of]
    if not missing:
        return contents, label_of, []
    elsewhere = _find_elsewhere(missing)
    more = read_present(elsewhere.values())
    found = {image: label for image, label in elsewhere.items() if label in more}
    return contents | more, label_of | found, list(found.values())


def _find_elsewhere(images: Iterable[str]) -> Mapping[str, str]:
    listings: dict[str, dict[str, list[str]]] = {}
    found = {}
    for image in images:
        folder, name = os.path.split(image)
        for place in (label_folder(folder), *_other_folders(folder), folder):
            if place not in listings:
                listings[place] = _label_files(place)
            wanted = (_folded(os.path.splitext(name)[0] + ".txt"), _folded(f"{name}.txt"))
            found_there = [path for key in wanted for path in listings[place].get(key, ())]
            fitting = [path for path in found_there if path != image]
            if len(fitting) == 1:
                found[image] = fitting[0]
                break
    return found


@lru_cache(maxsize=1024)
def _other_folders(folder: str) -> tuple[str, ...]:
    """Return folders like `Labels` where the images are in `Images`."""
    parts = folder.split(os.sep)
    at = [index for index, part in enumerate(parts) if part.lower() == "images"]
    if not at:
        return ()
    above, below = os.sep.join(parts[: at[-1]]) or os.sep, parts[at[-1] + 1 :]
    try:
        names = [name for name in os.listdir(above) if name.lower() in ("labels", "label")]
    except OSError:
        return ()
    return tuple(os.path.join(above, name, *below) for name in sorted(names))


def _label_files(folder: str) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for path in files_in(folder):
        if path.lower().endswith(".txt"):
            files.setdefault(_folded(os.path.basename(path)), []).append(path)
    return files


def files_in(folder: str) -> Iterator[str]:
    """Yield the paths in a folder; nothing where there is none."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    start = os.path.join(folder, "")
    yield from (f"{start}{name}" for name in names)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
