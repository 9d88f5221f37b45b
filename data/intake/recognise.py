"""From what somebody calls a data set to the settings that read it."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from configs.errors import ConfigError
from configs.reading.load import load_dataset
from configs.schema.data import AutoDataset, DatasetSettings, VocDataset, settings_of_format
from data.formats.files import to_text
from data.formats.sources import resolve_sources, stated_sources
from data.intake.archive import unpack
from data.intake.class_names import with_class_names
from data.intake.coco import is_coco, read_coco, read_coco_files
from data.intake.other_layouts import (
    read_createml,
    read_crowdhuman,
    read_csv_table,
    read_cvat,
    read_kitti,
    read_labelme,
    read_labelstudio,
    read_openimages,
    read_supervisely,
    read_two_columns,
    read_visdrone,
    read_widerface,
)
from data.intake.tree import Candidate, Layout, Tree, row_kind
from data.intake.voc import read_voc
from data.intake.yolo import ask_for_yaml, read_data_yaml, read_obj_data, read_plain
from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import LARGEST_FILE, read_regular

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "yolo": (read_data_yaml, read_obj_data, read_plain, ask_for_yaml),
    "coco": (read_coco,),
    "voc": (read_voc,),
    "labelme": (read_labelme,),
    "cvat": (read_cvat,),
    "labelstudio": (read_labelstudio,),
    "createml": (read_createml,),
    "table": (read_csv_table,),
    "supervisely": (read_supervisely,),
    "openimages": (read_openimages,),
    "kitti": (read_kitti,),
    "visdrone": (read_visdrone,),
    "widerface": (read_widerface,),
    "crowdhuman": (read_crowdhuman,),
    "two_columns": (read_two_columns,),
}
"""Name of each layout and its readings, of which the first that fits holds."""

_HEAD = 1 << 18
_LARGEST = 1 << 44
_OWN_KEYS = {"format", "path", "layout", "class_names"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """What a data set was taken for, and the settings that say the same."""

    title: str
    dataset: DatasetSettings
    notes: tuple[str, ...] = ()

    def to_yaml(self) -> str:
        """Return the data YAML that says the same, without defaults."""
        values = self.dataset.model_dump(mode="json")
        fields = type(self.dataset).model_fields
        stated = {
            key: value
            for key, value in values.items()
            if key in ("format", "path", "class_names")
            or value != _plain(fields[key].get_default(call_default_factory=True))
        }
        ordered = {key: stated[key] for key in ("format", "path") if key in stated} | stated
        return str(yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True))


def recognise(auto: AutoDataset) -> Recognised:
    """Return what `auto.path` is.

    Raises:
        UserError: nothing there is understood, or it can be read in several ways; says what was
            seen and which key or YAML to write.
    """
    path = Path(auto.path)
    try:
        candidate = _of_tree(Tree(path), auto.layout) if path.is_dir() else _of_file(path)
        dataset, notes = _settings(candidate, auto)
        return Recognised(
            title=candidate.title,
            dataset=with_class_names(dataset),
            notes=(*candidate.notes, *notes),
        )
    except ConfigError as error:
        raise UserError(str(error)) from error
    except OSError as error:
        raise UserError(
            f"data: {error.filename or path} cannot be read: {error.strerror}"
        ) from error


def _of_tree(tree: Tree, layout: str | None) -> Candidate:
    """Return the one reading of a folder.

    A data YAML states what is meant and goes before labels of other formats that are there, too;
    lists of two columns name the texts that look like labels of YOLO.
    """
    if layout is not None and layout not in LAYOUTS:
        raise UserError(f"data.layout is {layout!r}; must be one of {', '.join(LAYOUTS)}")
    if not tree.images and len(archives := tree.ending(".zip")) == 1:
        tree = _unpacked(tree.path(archives[0]))
    found, problems = _readings(tree, layout)
    has_yaml = "yolo" in found and "yaml" in found["yolo"].settings
    if "two_columns" in found and not has_yaml:
        found.pop("yolo", None)
    if not found:
        raise problems[0] if problems else UserError(_explain_nothing(tree))
    if len(found) > 1 and not has_yaml:
        ways = "; ".join(f"{item.title}: data.layout={name}" for name, item in found.items())
        raise UserError(f"data: {tree.root} can be read in {len(found)} ways; say which: {ways}")
    (_, candidate), *others = found.items()
    names = [name for name, _ in others]
    if not names:
        return candidate
    note = f"labels of {' and '.join(names)} lie there, too: data.layout={names[0]} reads them"
    notes = (*candidate.notes, note)
    return Candidate(title=candidate.title, settings=candidate.settings, notes=notes)


def _readings(tree: Tree, layout: str | None) -> tuple[dict[str, Candidate], list[UserError]]:
    """Return the readings that fit by layout, and why others nearly do."""
    found: dict[str, Candidate] = {}
    problems: list[UserError] = []
    for name, readings in LAYOUTS.items():
        if layout not in (None, name):
            continue
        try:
            candidate = _first(readings, tree)
        except UserError as error:
            problems.append(error)
            continue
        if candidate is not None:
            found[name] = candidate
    return found, problems


def _first(readings: tuple[Layout, ...], tree: Tree) -> Candidate | None:
    for reading in readings:
        candidate = reading(tree)
        if candidate is not None:
            return candidate
    return None


def _explain_nothing(tree: Tree) -> str:
    """Say what was seen in a folder that no layout fits, and the YAML to write."""
    counts = Counter(os.path.splitext(path)[1].lower() or "no suffix" for path in tree.files)
    seen = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(5)) or "no files"
    if tree.images and len(tree.images) == len(tree.files):
        return (
            f"data: {tree.root} holds {len(tree.images)} images and no labels; export the labels, "
            "too: a .txt, .xml or .json per image, or one COCO .json"
        )
    return (
        f"data: {tree.root} is not recognised (found {seen}); export it as COCO, YOLO or VOC, or "
        "write a data YAML with the keys format, path, train, val and class_names: data=my.yaml"
    )


def _of_file(path: Path) -> Candidate:
    read_regular(path, limit=_LARGEST, first=1)  # a pipe is told before anything waits for it
    suffix = path.suffix.lower()
    readers: dict[str, Callable[[Path], Candidate]] = {
        ".zip": lambda file: _of_tree(_unpacked(file), None),
        ".json": _of_json,
        ".data": lambda file: _of_part(file, read_obj_data),
        ".txt": _of_text,
        ".csv": lambda file: _of_part(file, read_openimages, read_csv_table),
        ".odgt": lambda file: _of_part(file, read_crowdhuman),
        ".xml": lambda file: _of_part(file, read_cvat, read_voc),
    }
    if suffix not in readers:
        raise UserError(
            f"data: {path} is not a data set; give a folder, a data YAML, a .zip, a COCO .json, "
            "obj.data or a list of images"
        )
    return readers[suffix](path)


def _unpacked(archive: Path) -> Tree:
    tree = Tree(unpack(archive))
    if not tree.files:
        raise UserError(f"data: {archive} holds no files; download or export it again")
    return tree


def _of_json(path: Path) -> Candidate:
    folder = path.parent.parent if path.parent.name == "annotations" else path.parent
    tree = Tree(folder)
    if not is_coco(tree.head(os.path.relpath(path, tree.root))):
        return _of_part(path, read_labelme, read_supervisely, read_labelstudio, read_createml)
    relative = os.path.relpath(path, tree.root).replace(os.sep, "/")
    candidate = read_coco_files(tree, [relative])
    assert candidate is not None
    return candidate


def _of_text(path: Path) -> Candidate:
    head = to_text(read_regular(path, limit=LARGEST_FILE, first=_HEAD))
    if row_kind(head) == "two_columns":
        return _of_part(path, read_two_columns)
    if path.name.endswith("bbx_gt.txt"):
        return _of_part(path, read_widerface)
    if row_kind(head) is not None or not head.strip():
        what = "is empty" if not head.strip() else "holds labels, not paths of images"
        raise UserError(
            f"data: {path} {what}; give a list of images, or the folder of images and labels"
        )
    return Candidate(
        title=f"list of images {path.name} with YOLO labels",
        settings={"format": "yolo", "path": str(path.parent), "train": path.name},
    )


def _of_part(path: Path, *readings: Layout) -> Candidate:
    """Return the reading of the folder around a file that is only a part of a data set."""
    trees = (Tree(folder) for folder in list(path.parents)[:3] if len(folder.parts) > 2)
    with_images = next((tree for tree in trees if tree.images), None)
    candidate = _first(readings, with_images) if with_images else None
    if candidate is None:
        raise UserError(
            f"data: {path} is not recognised as a data set; give the folder that holds its images "
            f"and labels, data={path.parent}"
        )
    return candidate


def _settings(candidate: Candidate, auto: AutoDataset) -> tuple[DatasetSettings, list[str]]:
    """Return the settings of a reading with what the user states beside the path."""
    notes: list[str] = []
    if "yaml" in candidate.settings:
        dataset = _from_yaml(str(candidate.settings["yaml"]), notes)
    else:
        model = settings_of_format(str(candidate.settings["format"]))
        dataset = model.model_validate_json(_json(candidate.settings))
    stated = {key: getattr(auto, key) for key in _changed(auto)}
    if auto.class_names:
        stated["class_names"] = auto.class_names
    for key in stated:
        if key not in type(dataset).model_fields:
            raise UserError(
                f"data.{key} has no effect: {auto.path} is read as {dataset.format}"  # type: ignore[attr-defined]
            )
    return dataset.model_copy(update=stated), notes


def _changed(auto: AutoDataset) -> set[str]:
    """Return the keys with another value than their default."""
    fields = AutoDataset.model_fields
    return {
        key
        for key, info in fields.items()
        if key not in _OWN_KEYS and not info.is_required() and getattr(auto, key) != info.default
    }


def _from_yaml(path: str, notes: list[str]) -> DatasetSettings:
    """Return the data set of a YAML, without splits that it names but that are not there."""
    dataset: Any = load_dataset(path)
    for split in ("val", "test"):
        sources = stated_sources(dataset, split) if dataset.format == "yolo" else ()
        if sources and not _exists(dataset, split):
            notes.append(f"{split}: {', '.join(sources)} does not exist: left out")
            dataset = dataset.model_copy(update={split: None})
    result: DatasetSettings = dataset
    return result


def _exists(dataset: Any, split: Any) -> bool:
    try:
        resolve_sources(dataset, split, [])
    except UserError:
        return False
    return True


def without_missing_lists(dataset: DatasetSettings) -> DatasetSettings:
    """Return VOC settings without the default list of val where there is none, and without lists
    where every XML is meant.
    """
    if not isinstance(dataset, VocDataset):
        return dataset
    fields = VocDataset.model_fields
    changes: dict[str, Any] = {}
    root = Path(dataset.path)
    if dataset.val == fields["val"].default and not (root / str(dataset.val)).exists():
        changes["val"] = None
    if dataset.train == fields["train"].default and not (root / dataset.train).exists():
        changes["train"] = dataset.annotations
    return dataset.model_copy(update=changes)


def _json(settings: Mapping[str, Any]) -> str:
    import json

    return json.dumps(dict(settings))


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
