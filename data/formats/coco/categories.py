"""Map the categories of a COCO file to classes."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

from data.formats.coco.boxes import LARGEST_ID, to_id
from data.formats.label_report import Decision, decide
from utils.runtime.errors import UserError
from utils.runtime.printable import shortened

UNUSED_CATEGORY = "category is not in class_names and has no annotations: ignored"
CLASS_WITHOUT_CATEGORY = "class of class_names has no category in this file"


class Categories(NamedTuple):
    """Class index by category id, and the category id of each class."""

    labels: dict[Any, int]
    ids: tuple[int, ...]


def class_names_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of all categories in the order of their ids, each name once.

    Roboflow adds a category that groups the others and has no annotations: it is not a class.
    """
    used = _count(document)
    stated = [entry for entry in document["categories"] if isinstance(entry, dict)]
    entries = [(to_id(entry.get("id")), entry) for entry in stated]
    known = [(key, entry) for key, entry in entries if key is not None]
    known.sort(key=lambda item: (isinstance(item[0], str), item[0]))
    groups = {_shown(entry.get("supercategory")) for _, entry in known}
    names = [
        name_of(entry)
        for key, entry in known
        if used[key] or not (entry.get("supercategory") == "none" and name_of(entry) in groups)
    ]
    return tuple(dict.fromkeys(names))


def match_categories(
    document: Mapping[str, Any], class_names: Sequence[str], file: Path, notes: list[Decision]
) -> Categories:
    """Return the mapping from categories to classes.

    Of several categories of one name the class gets the id that most annotations use.

    Raises:
        UserError: a category has no id of its own, one with annotations is not in class_names, or
            none is.
    """
    index = {name: label for label, name in enumerate(class_names)}
    used = _count(document)
    labels: dict[Any, int] = {}
    id_of: dict[int, Any] = {}
    for category in document["categories"]:
        category_id, name = to_id(category.get("id")), name_of(category)
        if category_id is None or category_id in labels:
            raise UserError(
                f"{file}: category {shortened(repr(name), 60)} needs an id of its own, "
                f"got {shortened(repr(category.get('id')), 60)}"
            )
        if name in index:
            label = labels[category_id] = index[name]
            if label not in id_of or used[category_id] > used[id_of[label]]:
                id_of[label] = category_id
        elif used[category_id]:
            stated = set(map(name_of, document["categories"]))
            raise UserError(_explain_unknown(name, class_names, stated, file))
        else:
            note = decide(file, f"category {category_id}", name, UNUSED_CATEGORY, "noted")
            notes.append(note)
    if not id_of:
        names = ", ".join(map(name_of, document["categories"])) or "none"
        raise UserError(
            f"{file}: no category is in data.class_names; the file has {shortened(names, 500)}"
        )
    return Categories(labels, _complete(id_of, class_names, document, file, notes))


def name_of(category: Mapping[str, Any]) -> str:
    """Return the name of a category as text; its id where it has none.

    Categories without names would otherwise all be the same class.
    """
    name = category.get("name")
    return _shown(category.get("id") if name in (None, "") else name)


def _shown(name: Any) -> str:
    return name if isinstance(name, str) else shortened(repr(name))


def _is_number(value: int | str | None) -> TypeGuard[int]:
    return isinstance(value, int) and abs(value) < LARGEST_ID


def _count(document: Mapping[str, Any]) -> Counter[Any]:
    entries = (entry for entry in document["annotations"] if isinstance(entry, dict))
    return Counter(to_id(entry.get("category_id")) for entry in entries)


def _complete(
    id_of: Mapping[int, Any],
    class_names: Sequence[str],
    document: Mapping[str, Any],
    file: Path,
    notes: list[Decision],
) -> tuple[int, ...]:
    """Return a number for every class; results need numbers even where ids are texts."""
    numbers = [key for entry in document["categories"] if _is_number(key := to_id(entry["id"]))]
    unused = max(numbers, default=0) + 1
    ids = []
    for label, name in enumerate(class_names):
        if label not in id_of:
            notes.append(decide(file, "file", name, CLASS_WITHOUT_CATEGORY, "noted"))
        category_id = id_of.get(label)
        ids.append(category_id if _is_number(category_id) else unused + label)
    return tuple(ids)


def _explain_unknown(
    name: str, class_names: Sequence[str], stated: Collection[str], file: Path
) -> str:
    # A similar name that is a category of its own is not a spelling of this one.
    free = [known for known in class_names if known not in stated]
    close = get_close_matches(shortened(name), free, n=1)
    ways = f"add it there, or leave it out: data.classes={{leave_out: [{shortened(name, 60)}]}}"
    hint = f"did you mean {close[0]!r} there?" if close else ways
    return (
        f"{file}: category {shortened(repr(name), 60)} has annotations but is not in "
        f"data.class_names ({', '.join(class_names)}); {hint}"
    )
