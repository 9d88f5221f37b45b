"""Cuts a test split out of the validation split, where a data set has none.

The rule depends only on file names: an image belongs to the test split if the SHA-256 of its name,
read as a number in [0, 1), is below the share. So the same images are cut on every machine, and
adding images moves none of the old ones.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from configs.reading.load import LoadedExperiment
from configs.schema.data import AutoDataset, SyntheticDataset
from data.intake.resolve import look_at, write_yaml
from data.records.load import load_split, open_reader
from utils.runtime.errors import UserError


def cut_test_split(loaded: LoadedExperiment, folder: Path, share: float) -> tuple[str, ...]:
    """Return settings `data.key=value` under which the data set has a test split.

    None are needed where it has one. Lists or annotations of the parts are written to `folder`.

    Raises:
        UserError: there is no validation split either, or a part would be empty.
    """
    data: Any = loaded.experiment.data
    if isinstance(data, SyntheticDataset):
        if data.test_images == 0:
            raise UserError("data.test_images is 0: a comparison needs a test split")
        return ()
    data, settings = _recognised(data, folder)
    if data.test is not None:
        return tuple(settings)
    if data.val is None:
        raise UserError("data.val is not set: a comparison needs a validation and a test split")
    if isinstance(data.val, float):
        return (
            *settings,
            f"data.test={share * data.val:g}",
            f"data.val={(1 - share) * data.val:g}",
        )
    split = load_split(data.model_copy(update={"classes": None}), "val")
    reader = open_reader(data, "val")
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("val", "test"):
        part = [r for r in split.records if is_test_image(r.path, share) == (name == "test")]
        if not part:
            raise UserError(
                f"test.cut_share={share} leaves no image for {name}; set data.test, or another "
                "share"
            )
        value = reader.write_part(part, split.category_ids, folder / name)
        settings.append(f"data.{name}={json.dumps(value)}")
    return tuple(settings)


def cut_folds(loaded: LoadedExperiment, folder: Path, folds: int) -> tuple[str, ...]:
    """Return settings `data.key=value` under which the data set has folds; a run adds `data.fold`.

    Raises:
        UserError: there are fewer groups of images than folds.
    """
    data, settings = _recognised(loaded.experiment.data, folder)
    settings.append(f"data.folds={folds}")
    if not isinstance(data, SyntheticDataset) and data.val is None:
        settings.append(f"data.val={1 / folds:g}")  # so that training evaluates its fold
    load_split(data.model_copy(update={"folds": folds}), "train")
    return tuple(settings)


def _recognised(data: Any, folder: Path) -> tuple[Any, list[str]]:
    """Return the data set with its format known, and the settings that say it."""
    if not isinstance(data, AutoDataset):
        return data, []
    found = look_at(data)
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(found, folder / "data.yaml")
    return found.dataset, [f"data={(folder / 'data.yaml').resolve()}"]


def is_test_image(path: str, share: float) -> bool:
    """Tell whether an image goes to the test split."""
    digest = hashlib.sha256(Path(path).name.encode()).hexdigest()[:13]
    return int(digest, 16) / 16**13 < share
