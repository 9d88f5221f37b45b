"""Copy the images of records into a new data set; the originals are only read."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from utils.runtime.errors import UserError
from utils.structures.images import Record


def plan_copies(records: Sequence[Record], folder: Path) -> list[Path]:
    """Return where each record's image goes: its file name under `folder`.

    Raises:
        UserError: two images share a name but for the suffix, so their labels would collide.
    """
    taken: dict[str, str] = {}
    for record in records:
        stem = Path(record.path).stem
        if stem in taken:
            raise UserError(
                f"{record.path} and {taken[stem]} have the same name; rename one of them"
            )
        taken[stem] = record.path
    return [folder / Path(record.path).name for record in records]


def copy_images(records: Sequence[Record], targets: Sequence[Path]) -> None:
    """Copy each record's image to its target; folders are made."""
    for record, target in zip(records, targets, strict=True):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(record.path, target)


def to_number(value: float) -> str:
    """Return a coordinate as text from which the same float32 is read back."""
    return f"{value:.9g}"
