"""Base reader for label files of labelling tools, with one parser per format.

A parser (`ToolFormat`) says which files contain labels and turns one file into labelled images.
Here the images are found, by name below the folder of the split, and rows get their class.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from configs.reading.stated_paths import FileIndex
from configs.schema.data import ToolDataset
from data.formats.files import SplitFiles, is_image_name, list_files, list_images, read_present
from data.formats.label_report import Decision, decide
from data.formats.rows import RawImage, RawRow, RawSplit
from data.formats.sources import resolve_sources
from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import LARGEST_ANNOTATIONS
from utils.structures.images import Record

NO_IMAGE = "no such file below the data set's folder"
NOT_NAMED = "images that no label file of the split names: not used"
UNREADABLE = "file cannot be read as {}: counts as one rejected row"
ALL_CLASSES = ""
"""Class of rows that are neutral for every class: regions to ignore."""


class ToolRow(NamedTuple):
    """One row before its class is looked up; fields as in `RawRow`."""

    location: str
    value: object
    class_name: str = ALL_CLASSES
    box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    ignore: bool = False
    fault: str = ""
    repair: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolImage:
    """One labelled image as in the file."""

    stated: str
    """Path or name of the image, as the label file has it; may lack its suffix."""
    rows: Sequence[ToolRow]
    is_normalised: bool = False
    stated_size: tuple[int, int] | None = None


class ToolFormat(Protocol):
    """Protocol of the parser of one format."""

    title: str
    """Name of the format for a person."""

    def is_label_file(self, path: str) -> bool:
        """Tell whether a file below the folder of the split describes images, by its name."""

    def is_companion(self, path: str) -> bool:
        """Tell whether a file below the data set's folder is needed to understand the labels."""

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the images that a label file describes.

        Args:
            path: of the label file.
            content: its bytes.
            files: contents of all label files and companions, by path.

        Raises:
            ValueError: it cannot be read as this format.
        """

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the names of the classes in the order of their ids, else sorted."""


class ToolReader:
    """Reads one split; image ids are positions among the images sorted by path, from 0."""

    def __init__(
        self,
        dataset: ToolDataset,
        split: Literal["train", "val", "test"],
        tool: ToolFormat,
    ) -> None:
        self._dataset = dataset
        self._split = split
        self._tool = tool
        self._index = {name: label for label, name in enumerate(dataset.class_names)}
        self._own: frozenset[str] = frozenset()

    def find(self) -> SplitFiles:
        """Return the label files and the images of the given folders.

        Raises:
            UserError: a source is missing, or contains no labels or no images.
        """
        key, root = f"data.{self._split}", Path(self._dataset.path)
        notes: list[Decision] = []
        sources = resolve_sources(self._dataset, self._split, notes)
        labels = label_files(sources, self._tool)
        self._own = frozenset(labels)
        if not labels:
            raise UserError(f"{key}: no {self._tool.title} labels in {', '.join(sources)}")
        is_folder = all(os.path.isdir(source) for source in sources)
        folders = map(Path, sources) if is_folder else [root]
        images = sorted({path for folder in folders for path in list_images(folder)})
        if not images:
            images = list_images(root)
        if not images:
            raise UserError(
                f"{key}: {len(labels)} label files, but no images below {root}; put them there"
            )
        companions = sorted(filter(self._tool.is_companion, list_files(root)))
        contents = read_present((*labels, *companions), limit=LARGEST_ANNOTATIONS)
        return SplitFiles(images=tuple(images), labels=contents, notes=tuple(notes))

    def read(self, files: SplitFiles) -> RawSplit:
        """Return the rows of every labelled image, and the images without labels as background."""
        raw = RawSplit(category_ids=tuple(range(len(self._index))))
        index = FileIndex(files.images)
        found: dict[str, RawImage] = {}
        for path, content in files.labels.items():
            if path not in self._own:
                continue
            try:
                images = self._tool.parse(path, content, files.labels)
            except ValueError as error:
                reason = UNREADABLE.format(self._tool.title)
                raw.stray_rows.append(decide(path, "file", error, reason, "rejected"))
                continue
            for image in images:
                self._add(image, path, index, found)
        is_folder = all(
            not os.path.isfile(os.path.join(self._dataset.path, source))
            for source in _as_tuple(getattr(self._dataset, self._split))
        )
        unlabelled = set(files.images) - set(found)
        if unlabelled and not is_folder:
            count = f"{len(unlabelled)} images, e.g. {min(unlabelled)}"
            raw.notes.append(decide(self._dataset.path, "file", count, NOT_NAMED, "noted"))
        for path in unlabelled if is_folder else ():
            found[path] = RawImage(path=path, image_id=0, rows=(), label_file="")
        for image_id, (_, raw_image) in enumerate(sorted(found.items())):
            raw.images.append(
                RawImage(
                    path=raw_image.path,
                    image_id=image_id,
                    rows=raw_image.rows,
                    label_file=raw_image.label_file,
                    is_normalised=raw_image.is_normalised,
                    stated_size=raw_image.stated_size,
                    fault=raw_image.fault,
                )
            )
        if not raw.images:
            why = "".join(f"; {stray.file}: {stray.value}" for stray in raw.stray_rows[:1])
            raise UserError(f"data.{self._split}: no labelled images{why}")
        return raw

    def write_part(
        self, records: Sequence[Record], category_ids: Sequence[int], path: Path
    ) -> object:
        """Raise UserError: the labels of a tool stay in one file, which a share cuts."""
        raise UserError(
            f"a {self._tool.title} data set cannot be cut into lists; set data.val and data.test "
            "as shares, as in data.test=0.1"
        )

    def _add(
        self, image: ToolImage, label_file: str, index: FileIndex, found: dict[str, RawImage]
    ) -> None:
        beside = os.path.normpath(os.path.join(os.path.dirname(label_file), image.stated))
        path = beside if beside in index else None
        if path is None:
            is_name = is_image_name(image.stated)
            path = (index.find(image.stated) if is_name else None) or index.find_stem(
                image.stated.rpartition(".")[0] if is_name else image.stated
            )
            # DeepPCB lists x.jpg for the files x_test.jpg and x_temp.jpg.
            path = path or index.find("_test".join(os.path.splitext(image.stated)))
        rows = [row for stated in image.rows for row in self._rows(stated)]
        key = path or beside
        earlier = found.get(key)
        found[key] = RawImage(
            path=key,
            image_id=0,
            rows=(*(earlier.rows if earlier else ()), *rows),
            label_file=label_file,
            is_normalised=image.is_normalised,
            stated_size=image.stated_size,
            fault="" if path else NO_IMAGE,
        )

    def _rows(self, row: ToolRow) -> list[RawRow]:
        """Return the row with the index of its class; one for all classes once for each."""
        if row.fault:
            return [RawRow(row.location, row.value, fault=row.fault)]
        if row.class_name == ALL_CLASSES:
            labels = list(self._index.values())
        elif row.class_name in self._index:
            labels = [self._index[row.class_name]]
        elif row.class_name.isdecimal() and 0 < int(row.class_name) <= len(self._index):
            labels = [int(row.class_name) - 1]  # formats with numbers count classes from 1
        else:
            fault = f"class {row.class_name!r} is not in class_names"
            return [RawRow(row.location, row.value, fault=fault)]
        return [
            RawRow(
                row.location,
                row.value,
                label=label,
                box=row.box,
                ignore=row.ignore,
                repair=row.repair,
            )
            for label in labels
        ]


def label_files(sources: Iterable[str], tool: ToolFormat) -> list[str]:
    """Return the label files that sources name: files themselves, those of a format in folders."""
    found: list[str] = []
    for source in sources:
        if os.path.isfile(source):
            found.append(source)
        else:
            found += filter(tool.is_label_file, list_files(Path(source)))
    return sorted(set(found))


def _as_tuple(stated: object) -> tuple[str, ...]:
    if isinstance(stated, str):
        return (stated,)
    return stated if isinstance(stated, tuple) else ()
