"""YOLO texts: Roboflow, Ultralytics, CVAT, Label Studio, FiftyOne, Darknet, labelImg."""

from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.reading.stated_paths import find_stated
from configs.reading.yaml_reader import read_yaml
from data.formats.class_names import CLASS_LISTS
from data.formats.files import read_required, to_text
from data.intake.tree import Candidate, Tree, by_split, folder_of
from utils.runtime.errors import UserError

_USUAL_NAMES = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
_DEPTH = 2


def read_data_yaml(tree: Tree) -> Candidate | None:
    """Return the reading that a data YAML states: `settings` names the file alone.

    None where no YAML has a usual name and several have others, or the only one means labels that
    are not there.
    """
    found = _data_yamls(tree)
    usual = [path for path in found if path.rpartition("/")[2] in _USUAL_NAMES]
    if not usual and (len(found) != 1 or not _fits(tree, found[0])):
        return None
    chosen = (usual or found)[0]
    return Candidate(
        title=f"{_maker(tree)}data set with {chosen}",
        settings={"yaml": str(tree.path(chosen))},
    )


def ask_for_yaml(tree: Tree) -> Candidate | None:
    """Return None; the last resort where nothing but data YAMLs speaks.

    Raises:
        UserError: there are some, of which one has to be named.
    """
    found = _data_yamls(tree)
    if found:
        raise UserError(
            f"data: {tree.root} holds data YAMLs ({', '.join(found[:4])}); "
            f"name one, as in data={tree.path(found[0])}"
        )
    return None


def _data_yamls(tree: Tree) -> list[str]:
    """Return the data YAMLs nearest to the top."""
    found = [path for path in tree.ending(".yaml", ".yml") if _is_dataset(tree, path)]
    top = min((path.count("/") for path in found), default=0)
    return [path for path in found if path.count("/") == top]


def _fits(tree: Tree, path: str) -> bool:
    """Tell whether the labels that a YAML means can be there."""
    is_yolo = read_yaml(tree.path(path)).values.get("format", "yolo") == "yolo"
    return not is_yolo or bool({"yolo", "other"} & set(tree.text_kinds.values()))


def read_obj_data(tree: Tree) -> Candidate | None:
    """Return the reading of Darknet's obj.data, which CVAT writes as YOLO 1.1."""
    files = [path for path in tree.ending(".data") if path.count("/") <= 1]
    if len(files) != 1:
        return None
    stated: dict[str, str] = {}
    for line in tree.head(files[0]).split("\n"):
        key, separator, value = line.partition("=")
        if separator:
            stated[key.strip().lower()] = value.strip()
    root = tree.path(files[0]).parent
    settings: dict[str, Any] = {"format": "yolo", "path": str(root)}
    names = find_stated(stated.get("names", "obj.names"), root, may_leave=False)
    if names is not None:
        lines = to_text(read_required(Path(names.path), "names")).split("\n")
        settings["class_names"] = [line.strip() for line in lines if line.strip()]
    notes = []
    for split, keys in {"train": ("train",), "val": ("valid", "val"), "test": ("test",)}.items():
        value = next((stated[key] for key in keys if key in stated), "")
        found = find_stated(value, root, may_leave=False) if value else None
        if found is not None:
            settings[split] = _below(found.path, str(root))
        elif value:
            notes.append(f"{split}: {value} does not exist: left out")
    if "train" not in settings:
        if not tree.images:
            return None
        settings["train"] = "."
    return Candidate(
        title=f"Darknet data set with {files[0]} (CVAT YOLO 1.1, Darknet)",
        settings=settings,
        notes=tuple(notes),
    )


def read_plain(tree: Tree) -> Candidate | None:
    """Return the reading of images with YOLO texts beside them or in folders named labels."""
    folders = [folder for folder, kind in tree.text_kinds.items() if kind in ("yolo", "other")]
    if not folders:
        return None
    image_folders = list(dict.fromkeys(map(folder_of, tree.images)))
    if not image_folders:
        raise UserError(
            f"data: {tree.root} holds YOLO labels in {sorted(folders)[0]} but no images; "
            "export it with its images, or put them into a folder images beside labels"
        )
    labelled = [folder for folder in image_folders if _has_labels(folder, folders)]
    sources = tree.sources(labelled or image_folders)
    return Candidate(
        title=f"{_maker(tree)}YOLO labels ({_class_list(tree)})",
        settings={"format": "yolo", "path": str(tree.root), **by_split(sources)},
    )


def _has_labels(folder: str, label_folders: list[str]) -> bool:
    parts = folder.split("/")
    at = [index for index, part in enumerate(parts) if part.lower() == "images"]
    beside = [folder]
    for index in at:
        beside += [
            "/".join((*parts[:index], name, *parts[index + 1 :]))
            for name in ("labels", "Labels", "label")
        ]
    return any(place in label_folders for place in beside)


def _is_dataset(tree: Tree, path: str) -> bool:
    """Tell whether a YAML states where images are, or is meant to."""
    if path.count("/") > _DEPTH:
        return False
    try:
        values = read_yaml(tree.path(path)).values
    except ConfigError:
        # A damaged YAML with the usual name is better named than passed over.
        return path.rpartition("/")[2] in _USUAL_NAMES
    keys = {str(key).lower() for key in values}
    has_images = keys & {"train", "val", "valid", "validation", "test"}
    return bool(has_images and keys & {"names", "nc", "class_names", "path", "format"})


def _class_list(tree: Tree) -> str:
    lists = [path for path in tree.files if path.rpartition("/")[2] in CLASS_LISTS]
    return f"class names from {lists[0]}" if lists else "no file with class names"


def _maker(tree: Tree) -> str:
    names = {path.rpartition("/")[2] for path in tree.files}
    if names & {"README.roboflow.txt", "README.dataset.txt", "_darknet.labels"}:
        return "Roboflow "
    if "notes.json" in names:
        return "Label Studio "
    return ""


def _below(path: str, root: str) -> str:
    prefix = root.rstrip("/") + "/"
    return path.removeprefix(prefix) if path != root else "."
