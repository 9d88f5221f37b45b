"""Cuts a test split out of the validation split, where a data set has none.

The rule looks at nothing but file names: an image belongs to the test split if the SHA-256 of its
name, read as a number in [0, 1), lies below the stated share. So the same images are cut on every
machine, and adding images moves none of the old ones.
"""

import hashlib
import json
from pathlib import Path

from configs.load import LoadedExperiment
from configs.schema.data import SyntheticDataset
from data.records import load_split, open_reader
from utils.runtime.errors import UserError


def cut_test_split(loaded: LoadedExperiment, folder: Path, share: float) -> tuple[str, ...]:
    """Return settings `data.key=value` under which the data set has a test split.

    None are needed where it has one. Lists or annotations of the parts are written to `folder`.

    Raises:
        UserError: there is no validation split either, or a part would be empty.
    """
    data = loaded.experiment.data
    if isinstance(data, SyntheticDataset):
        if data.test_images == 0:
            raise UserError("data.test_images is 0: a comparison needs a test split")
        return ()
    if data.test is not None:
        return ()
    if data.val is None:
        raise UserError("data.val is not set: a comparison needs a validation and a test split")
    split = load_split(data, "val")
    reader = open_reader(data, "val")
    folder.mkdir(parents=True, exist_ok=True)
    settings = []
    for name in ("val", "test"):
        part = [r for r in split.records if is_test_image(r.path, share) == (name == "test")]
        if not part:
            raise UserError(
                f"test.cut_share={share} leaves no image for {name}; state data.test, or another "
                "share"
            )
        value = reader.write_part(part, split.category_ids, folder / name)
        settings.append(f"data.{name}={json.dumps(value)}")
    return tuple(settings)


def is_test_image(path: str, share: float) -> bool:
    """Tell whether an image goes to the test split."""
    digest = hashlib.sha256(Path(path).name.encode()).hexdigest()[:13]
    return int(digest, 16) / 16**13 < share
