"""Apply `data.classes`: leave out, merge or rename classes, or treat all as one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from configs.schema.data import ClassChanges, DatasetSettings, SyntheticDataset, YoloDataset
from data.formats.class_names import find_class_names
from data.formats.label_report import Decision, decide
from data.formats.rows import RawSplit
from utils.runtime.errors import UserError

LEFT_OUT = "class is left out (data.classes)"
TAKEN_AS = "class is taken as another (data.classes)"


class ClassTable(NamedTuple):
    """New names, and for each class of the files its new index, None where it is left out."""

    names: tuple[str, ...]
    new_label: tuple[int | None, ...]


def with_named_classes(dataset: DatasetSettings) -> DatasetSettings:
    """Return settings with class names extended by those that only `classes` and the files name.

    So a stray category can be left out or merged though `class_names` is set. Label files of YOLO
    number their classes and name none.
    """
    if dataset.classes is None or isinstance(dataset, YoloDataset | SyntheticDataset):
        return dataset
    unknown = [name for name in _named(dataset.classes) if name not in dataset.class_names]
    if not unknown:
        return dataset
    in_files = find_class_names(dataset.model_copy(update={"class_names": ()}))
    more = tuple(dict.fromkeys(name for name in unknown if name in in_files))
    return dataset.model_copy(update={"class_names": (*dataset.class_names, *more)})


def _named(changes: ClassChanges) -> list[str]:
    """Return all classes of the files that the changes name."""
    merged = [old for olds in changes.merge.values() for old in olds]
    return [*changes.leave_out, *changes.rename, *merged]


def plan_classes(names: Sequence[str], changes: ClassChanges) -> ClassTable:
    """Return the new index of each class.

    A merged class takes the position of its first one. Raises: UserError: a class does not exist,
    one is named twice, or none is left.
    """
    named = _named(changes)
    for name in named:
        if name not in names:
            raise UserError(f"data.classes names {name!r}, but the classes are {', '.join(names)}")
        if named.count(name) > 1:
            raise UserError(f"data.classes names {name!r} more than once; name it once")
    new_name = {old: new for new, olds in changes.merge.items() for old in olds} | changes.rename
    wanted = [
        None if name in changes.leave_out else changes.all_as or new_name.get(name, name)
        for name in names
    ]
    kept = tuple(dict.fromkeys(name for name in wanted if name is not None))
    if not kept:
        raise UserError("data.classes leaves no class")
    return ClassTable(kept, tuple(None if name is None else kept.index(name) for name in wanted))


def change_classes(
    raw: RawSplit, names: Sequence[str], table: ClassTable, place: str
) -> tuple[RawSplit, int]:
    """Return the split with its new classes and how many rows are left out.

    Args:
        raw: rows with labels of the files.
        names: class names of the files.
        table: what becomes of each.
        place: named in the report.
    """
    counts: Counter[int] = Counter()
    images = []
    for image in raw.images:
        rows = []
        for row in image.rows:
            counts[row.label] += not row.fault
            label = row.label if row.fault else table.new_label[row.label]
            if label is not None:
                rows.append(row._replace(label=label))
        images.append(replace(image, rows=tuple(rows)))
    ids = (
        [raw.category_ids[table.new_label.index(label)] for label in range(len(table.names))]
        if raw.category_ids
        else []
    )
    notes = [*raw.notes, *_notes(names, table, counts, place)]
    num_left_out = sum(count for label, count in counts.items() if table.new_label[label] is None)
    changed = replace(raw, images=images, notes=notes, category_ids=tuple(ids))
    return changed, num_left_out


def _notes(
    names: Sequence[str], table: ClassTable, counts: Counter[int], place: str
) -> list[Decision]:
    notes = []
    for old, (name, label) in enumerate(zip(names, table.new_label, strict=True)):
        rows = f"{counts[old]} rows"
        if label is None:
            notes.append(decide(place, "file", f"{name}: {rows}", LEFT_OUT, "noted"))
        elif table.names[label] != name:
            value = f"{name} -> {table.names[label]}: {rows}"
            notes.append(decide(place, "file", value, TAKEN_AS, "noted"))
    return notes
