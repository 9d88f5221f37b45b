"""Copy or link the images of records into a new data set; the originals are only read."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from utils.runtime.errors import UserError
from utils.structures.images import Record


def plan_copies(
    records: Sequence[Record], folder: Path, names: Sequence[str] | None = None
) -> list[Path]:
    """Return where each record's image goes: its file name, or its name in `names`, in `folder`.

    Raises:
        UserError: two images share a name but for the suffix, so their labels would collide.
    """
    if names is not None:
        return [folder / name for name in names]
    taken: dict[str, str] = {}
    for record in records:
        stem = Path(record.path).stem
        if stem in taken:
            raise UserError(
                f"{record.path} and {taken[stem]} have the same name; rename one of them"
            )
        taken[stem] = record.path
    return [folder / Path(record.path).name for record in records]


def distinct_names(records: Sequence[Record], taken: set[str]) -> list[str]:
    """Return a file name for each record's image with a unique stem: x.jpg, x_2.jpg, ...

    Args:
        records: in the order in which they may choose.
        taken: stems in lower case that are in use already; those chosen here are added.
    """
    names = []
    for record in records:
        path = Path(record.path)
        stem, number = path.stem, 1
        while stem.lower() in taken:
            number += 1
            stem = f"{path.stem}_{number}"
        taken.add(stem.lower())
        names.append(stem + path.suffix)
    return names


def copy_images(records: Sequence[Record], targets: Sequence[Path], *, link: bool = False) -> None:
    """Copy each record's image to its target; folders are made.

    With `link` the target is a hard link where the file system supports it; a program that changes
    it in place then changes the original, too.
    """
    for record, target in zip(records, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (link and _link(record.path, target)):
            shutil.copyfile(record.path, target)


def _link(source: str, target: Path) -> bool:
    try:
        os.link(os.path.realpath(source), target)
    except OSError:  # another disk, or a file system without links
        return False
    return True


def to_number(value: float) -> str:
    """Return a coordinate as text from which the same float32 is read back."""
    return f"{value:.9g}"
