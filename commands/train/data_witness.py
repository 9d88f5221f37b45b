"""Evidence that a resumed training continues with the data it began with."""

import logging
from collections.abc import Sequence
from typing import Any

from data.records.load import Split
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_json
from utils.runtime.files.json_file import read_json_object
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.printable import shortened

logger = logging.getLogger(__name__)

DATA_NAME = "data.json"


def write_data(folder: RunFolder, splits: Sequence[Split]) -> None:
    """Record the fingerprint of a run's data."""
    write_json(folder.path / DATA_NAME, {split.name: _facts(split) for split in splits})


def require_same_data(folder: RunFolder, splits: Sequence[Split], *, accepted: bool) -> None:
    """Compare the data with those the run began with; differences are logged in one line.

    Names, sizes, boxes and classes are compared; the location of the data and pixels are not.

    Raises:
        UserError: they differ and that is not `accepted`.
    """
    path = folder.path / DATA_NAME
    if not path.is_file():  # of a run before there was such a file
        return
    known = read_json_object(path)
    differing = [text for split in splits if (text := _difference(known.get(split.name), split))]
    if not differing:
        return
    if not accepted:
        raise UserError(
            f"{shortened(folder.path)}: the data changed since this training began: "
            f"{'; '.join(differing)}; restore them, set their new location with data.path=..., or "
            "continue with the new ones with --accept-data"
        )
    logger.warning("continuing with other data: %s", "; ".join(differing))
    write_data(folder, splits)


def _facts(split: Split) -> dict[str, Any]:
    return {
        "fingerprint": split.fingerprint,
        "images": len(split.records),
        "boxes": sum(len(record.boxes) for record in split.records),
    }


def _difference(known: Any, split: Split) -> str:
    """Return how a split differs from its record, "" where it does not."""
    now = _facts(split)
    if not isinstance(known, dict):
        return f"{split.name} was not there"
    if known.get("fingerprint") == now["fingerprint"]:
        return ""
    parts = [
        f"{now[key]} {key}, were {known.get(key)}"
        for key in ("images", "boxes")
        if now[key] != known.get(key)
    ]
    return f"{split.name} has {' and '.join(parts) or 'other names, sizes, boxes or classes'}"
