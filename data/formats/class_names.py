"""Class names from a data set's own files, in the order of the label ids."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from configs.reading.stated_paths import find_stated
from configs.schema.data import (
    CocoDataset,
    CocoSplit,
    DatasetSettings,
    ToolDataset,
    VocDataset,
    YoloDataset,
)
from data.formats.coco.categories import class_names_of
from data.formats.files import list_files, read_present, to_text
from data.formats.sources import Sources, require_images, resolve_sources, stated_sources
from data.formats.tool_reader import label_files
from data.formats.tools import TOOLS
from data.formats.tools.parsing import in_order, read_object
from data.formats.voc import names_in_xml
from data.formats.yolo.files import label_folder
from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import LARGEST_ANNOTATIONS

CLASS_LISTS = (
    "classes.txt",
    "obj.names",
    "_darknet.labels",
    "labels.txt",
    "predefined_classes.txt",
)
_SPLITS = ("train", "val", "test")


def find_class_names(dataset: DatasetSettings) -> tuple[str, ...]:
    """Return the class names in the files of a data set.

    Raises:
        UserError: the files contain none; says which key to set.
    """
    names: Sequence[str] = ()
    if isinstance(dataset, CocoDataset):
        names = _of_coco(dataset)
    elif isinstance(dataset, VocDataset):
        names = _of_voc(dataset)
    elif isinstance(dataset, ToolDataset):
        names = _of_tool(dataset)
    elif isinstance(dataset, YoloDataset):
        names = next((listed for _, listed in yolo_class_lists(dataset)), ())
    if not names:
        if isinstance(dataset, YoloDataset):
            require_images(Sources(dataset, "train").images, "data.train")
        lists = f" (no {' or '.join(CLASS_LISTS[:3])})" if isinstance(dataset, YoloDataset) else ""
        raise UserError(
            f"data.class_names is not set and no file below {dataset.path} holds the names"
            f"{lists}; set them in the order of the class ids, as in class_names: [cat, dog]"
        )
    return tuple(names)


def check_class_names(dataset: YoloDataset) -> None:
    """Raise UserError if a class list of the labels has the names of the settings in another order.

    Ids in YOLO labels are positions in that list, so training would swap classes.
    """
    stated = dataset.class_names
    for path, names in yolo_class_lists(dataset):
        if names != stated and sorted(names) == sorted(stated):
            raise UserError(
                f"data.class_names ({', '.join(stated)}) has another order than {path} "
                f"({', '.join(names)}), which numbers the labels; leave class_names out, or "
                "remove that file if it belongs to other labels"
            )


def yolo_class_lists(dataset: YoloDataset) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Yield the files with class names in the data set's folder and beside its images and labels,
    with their names.
    """
    folders = [Path(dataset.path)]
    for split in _SPLITS:
        for source in stated_sources(dataset, split):  # type: ignore[arg-type]
            found = find_stated(source, folders[0])
            if found:
                place = Path(found.path)
                place = place if place.is_dir() else place.parent
                folders += [place, Path(label_folder(str(place))), place.parent]
    inside = [folder for folder in folders if folder.is_relative_to(folders[0])]
    paths = [folder / name for folder in dict.fromkeys(inside) for name in CLASS_LISTS]
    for path, content in read_present(map(str, paths)).items():
        names = tuple(line.strip() for line in to_text(content).split("\n") if line.strip())
        if names:
            yield path, names


def coco_files(dataset: CocoDataset) -> list[str]:
    """Return the annotation files of all splits that exist."""
    root = Path(dataset.path)
    splits = [getattr(dataset, name) for name in _SPLITS]
    return [
        found.path
        for split in splits
        if isinstance(split, CocoSplit) and (found := find_stated(split.annotations, root))
    ]


def _of_coco(dataset: CocoDataset) -> tuple[str, ...]:
    """Return the categories of all splits, in the order of their ids."""
    paths = coco_files(dataset)
    documents: list[Any] = []
    for path, content in read_present(paths, limit=LARGEST_ANNOTATIONS).items():
        try:
            document = read_object(content)
        except ValueError as error:
            raise UserError(f"{path} is not valid JSON: {error}") from error
        if all(isinstance(document.get(key), list) for key in ("annotations", "categories")):
            documents.append(document)
    return tuple(dict.fromkeys(name for document in documents for name in class_names_of(document)))


def _of_voc(dataset: VocDataset) -> tuple[str, ...]:
    found = find_stated(dataset.annotations, Path(dataset.path))
    files = list_files(Path(found.path)) if found else ()
    contents = read_present(path for path in files if path.lower().endswith(".xml"))
    return in_order(name for content in contents.values() for name in names_in_xml(content))


def _of_tool(dataset: ToolDataset) -> tuple[str, ...]:
    """Return the names in the files of all splits, so that every split has the same ones."""
    tool = TOOLS[dataset.format]
    sources: list[str] = []
    for split in _SPLITS:
        if stated_sources(dataset, split):  # type: ignore[arg-type]
            sources += resolve_sources(dataset, split, [])  # type: ignore[arg-type]
    companions = filter(tool.is_companion, list_files(Path(dataset.path)))
    files = read_present((*label_files(sources, tool), *companions), limit=LARGEST_ANNOTATIONS)
    return tool.class_names({path: files[path] for path in sorted(files)})
