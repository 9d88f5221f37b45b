"""Write records as COCO instances JSON, with the images beside it or where they are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.formats.copies import copy_images, plan_copies
from utils.structures.images import Record


def write_coco(
    records: Sequence[Record],
    *,
    class_names: Sequence[str],
    root: str | Path,
    split: str,
    category_ids: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    link: bool = False,
) -> None:
    """Write images to `root/<split>` and labels to `root/annotations/<split>.json`.

    Ignored objects become crowds; areas are kept. Image ids are the records' own, annotation ids
    count from 1.

    Args:
        records: what to write; their image ids must differ.
        class_names: in the order of the labels.
        root: folder of the new data set.
        split: name of the split.
        category_ids: id of each class; None counts from 1, as COCO does.
        names: file name of each image in the new data set; None keeps them.
        link: images are hard links to the same files where possible.

    Raises:
        UserError: two images have the same name.
    """
    root = Path(root)
    targets = plan_copies(records, root / split, names)
    copy_images(records, targets, link=link)
    document = coco_document(
        records,
        names=[target.name for target in targets],
        class_names=class_names,
        category_ids=category_ids,
    )
    path = root / "annotations" / f"{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")


def coco_document(
    records: Sequence[Record],
    *,
    names: Sequence[str],
    class_names: Sequence[str],
    category_ids: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Return the content of an instances JSON.

    Args:
        records: images and labels.
        names: file name of each image.
        class_names: in the order of the labels.
        category_ids: id of each class; None counts from 1.
    """
    ids = list(category_ids or range(1, len(class_names) + 1))
    rows = [row for record in records for row in _annotations(record, ids)]
    return {
        "images": [_image(record, name) for record, name in zip(records, names, strict=True)],
        "annotations": [{"id": number, **row} for number, row in enumerate(rows, start=1)],
        "categories": [
            {"id": category_id, "name": name}
            for category_id, name in zip(ids, class_names, strict=True)
        ],
    }


def _image(record: Record, file_name: str) -> dict[str, Any]:
    height, width = record.size
    return {"id": record.image_id, "file_name": file_name, "height": height, "width": width}


def _annotations(record: Record, category_ids: Sequence[int]) -> list[dict[str, Any]]:
    rows = zip(
        record.boxes.tolist(),
        record.labels.tolist(),
        record.ignore.tolist(),
        record.area.tolist(),
        strict=True,
    )
    return [
        {
            "image_id": record.image_id,
            "category_id": category_ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": area,
            "iscrowd": int(ignore),
        }
        for (x1, y1, x2, y2), label, ignore, area in rows
    ]
