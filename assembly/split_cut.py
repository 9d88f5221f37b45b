"""Cuts a test split out of the validation split, where a data set has none.

The rule looks at nothing but file names: an image belongs to the test split if the SHA-256 of its
name, read as a number in [0, 1), lies below the stated share. So the same images are cut on every
machine, and adding images moves none of the old ones.
"""

import hashlib
import json
from pathlib import Path

from configs.load import LoadedExperiment
from configs.schema.data import CocoDataset, SyntheticDataset, VocDataset, YoloDataset
from data.formats.coco_writer import coco_document
from data.records import Split, load_split
from utils.runtime.atomic import write_atomically
from utils.runtime.errors import UserError

FileDataset = YoloDataset | CocoDataset | VocDataset


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
    folder.mkdir(parents=True, exist_ok=True)
    settings = []
    for name in ("val", "test"):
        chosen = [(is_test_image(r.path, share) == (name == "test")) for r in split.records]
        if not any(chosen):
            raise UserError(
                f"test.cut_share={share} leaves no image for {name}; state data.test, or another "
                "share"
            )
        settings.append(f"data.{name}={_write_part(data, split, chosen, folder, name)}")
    return tuple(settings)


def is_test_image(path: str, share: float) -> bool:
    """Tell whether an image goes to the test split."""
    digest = hashlib.sha256(Path(path).name.encode()).hexdigest()[:13]
    return int(digest, 16) / 16**13 < share


def _write_part(
    data: FileDataset, split: Split, chosen: list[bool], folder: Path, name: str
) -> str:
    """Write the list of a part in the data set's own format; return the value of its key."""
    records = [r for r, mine in zip(split.records, chosen, strict=True) if mine]
    if isinstance(data, CocoDataset):
        path = folder / f"{name}.json"
        images = data.val.images if data.val else ""
        root = (Path(data.path) / images).resolve()
        document = coco_document(
            records,
            names=[Path(r.path).resolve().relative_to(root).as_posix() for r in records],
            class_names=split.class_names,
            category_ids=split.category_ids,
        )
        write_atomically(path, json.dumps(document).encode())
        return json.dumps({"images": images, "annotations": str(path.resolve())})
    path = folder / f"{name}.txt"
    is_voc = isinstance(data, VocDataset)
    lines = [Path(r.path).stem if is_voc else r.path for r in records]
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
    return json.dumps(str(path.resolve()))
