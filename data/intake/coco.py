"""COCO JSON files: of COCO itself, Roboflow, CVAT, Label Studio, FiftyOne, LVIS, Objects365."""

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from configs.reading.stated_paths import FileIndex
from data.intake.tree import Candidate, SplitName, Tree, by_split, folder_of, json_keys, split_of
from utils.runtime.errors import UserError
from utils.runtime.files.json_file import BrokenJsonError, parse_json

_FILE_NAME = re.compile(r'"(?:file_name|coco_url)"\s*:\s*("(?:[^"\\]|\\.)*")')
_SAMPLES = 200


def read_coco(tree: Tree) -> Candidate | None:
    """Return the reading of all COCO JSON files below the folder."""
    return read_coco_files(tree, tree.ending(".json"))


def read_coco_files(tree: Tree, paths: Sequence[str]) -> Candidate | None:
    """Return the reading of some JSON files, one a split.

    Raises:
        UserError: several may be the same split.
    """
    files = [path for path in _worth_a_look(paths) if is_coco(tree.head(path))]
    by_name: dict[SplitName | None, list[str]] = defaultdict(list)
    for path in files:
        by_name[split_of(path.removesuffix(".json"))[0]].append(path)
    if None in by_name and "train" not in by_name:
        by_name["train"] = by_name.pop(None)
    by_name.pop(None, None)
    if not by_name:
        return None
    if not tree.images:
        raise UserError(
            f"data: {tree.root} holds COCO annotations ({files[0]}) but no images; put the images "
            "there, in a folder images"
        )
    index = FileIndex(str(tree.path(path)) for path in tree.images)
    splits: dict[SplitName, list[Any]] = {}
    for name, found in by_name.items():
        if name is not None:
            path = _only(found, name, tree)
            splits[name] = [{"images": _image_folder(tree, path, index), "annotations": path}]
    chosen = [found[0]["annotations"] for found in splits.values()]
    return Candidate(
        title=f"{_maker(chosen[0])}COCO annotations ({', '.join(chosen)})",
        settings={"format": "coco", "path": str(tree.root), **by_split(splits)},
    )


def is_coco(head: str) -> bool:
    """Tell whether a file looks like COCO instances, by its beginning and its end."""
    keys = json_keys(head)
    has_frame = len(keys & {"images", "annotations", "categories"}) >= 2
    return has_frame and bool(keys & {"annotations", "bbox", "image_id"}) and "shapes" not in keys


def _worth_a_look(paths: Sequence[str]) -> list[str]:
    """Return the files of folders with few files: one JSON per image is another format."""
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        by_folder[folder_of(path)].append(path)
    return [path for found in by_folder.values() if len(found) <= 40 for path in found]


def _only(paths: list[str], split: str, tree: Tree) -> str:
    instances = [path for path in paths if "instances" in path.rpartition("/")[2]]
    chosen = instances if len(paths) > 1 and instances else paths
    if len(chosen) > 1:
        raise UserError(
            f"data: {tree.root} holds several COCO files that may be {split}: "
            f"{', '.join(chosen[:4])}; name one, as in data={tree.path(chosen[0])}"
        )
    return chosen[0]


def _image_folder(tree: Tree, path: str, index: FileIndex) -> str:
    """Return the folder from which the file's names lead to images, relative to the root."""
    names = _names_in(tree.head(path))
    home = folder_of(path)
    usual = (home, ".", folder_of(home), "images", f"{folder_of(home)}/images")
    for folder in dict.fromkeys(usual):
        places = [os.path.normpath(tree.root / folder / name) for name in names]
        if places and all(place in index for place in places):
            return os.path.normpath(folder)
    found = {name: place for name in names if (place := index.find(name))}
    if not found:
        return "."
    starts = {_start(place, os.path.normpath(name)) for name, place in found.items()}
    is_one = len(starts) == 1 and None not in starts and len(found) == len(set(names))
    folders = starts if is_one else {os.path.dirname(place) for place in found.values()}
    common = os.path.commonpath([folder for folder in folders if folder is not None])
    return os.path.relpath(common, tree.root).replace(os.sep, "/")


def _names_in(head: str) -> list[str]:
    """Return the first file names of a JSON's text; none where it is not JSON after all."""
    try:
        names = [parse_json(text, source="") for text in _FILE_NAME.findall(head)[:_SAMPLES]]
    except BrokenJsonError:  # C:\images\x.jpg with single backslashes: the reader says so
        return []
    return [name for name in names if name and "\0" not in name]


def _start(place: str, name: str) -> str | None:
    """Return the folder below which `place` has the path `name`; None where it ends otherwise."""
    is_below = place.endswith(os.sep + name)
    return place.removesuffix(name).rstrip(os.sep) if is_below else None


def _maker(path: str) -> str:
    name = path.rpartition("/")[2]
    makers = {"_annotations.coco.json": "Roboflow ", "result.json": "Label Studio "}
    makers |= {"instances_default.json": "CVAT ", "labels.json": "FiftyOne "}
    return makers.get(name, "LVIS " if name.startswith("lvis") else "")
