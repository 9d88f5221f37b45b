"""The shipped data sets read as their SOURCE.txt says."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from configs.schema.data import CocoDataset, CocoSplit, VocDataset, YoloDataset
from data.formats.rows import NO_AREA
from data.formats.yolo.files import ORPHAN_LABELS
from data.records.load import Split, SplitName, load_split

pytestmark = pytest.mark.slow


def class_counts(split: Split) -> dict[str, int]:
    labels = [label for record in split.records for label in record.labels[~record.ignore].tolist()]
    return dict(Counter(split.class_names[label] for label in labels))


@pytest.mark.parametrize(
    ("name", "num_images", "num_rows", "no_area", "counts"),
    [
        ("train", 205, 2805, ["BloodImage_00343.xml"], (2381, 214, 209)),
        ("val", 87, 1138, ["BloodImage_00338.xml"], (967, 87, 83)),
        ("test", 72, 945, [], (805, 71, 69)),
    ],
)
@pytest.mark.parametrize("first_pixel", [0, 1])
def test_bccd(
    shared: Path,
    name: SplitName,
    num_images: int,
    num_rows: int,
    no_area: list[str],
    counts: tuple[int, ...],
    first_pixel: int,
) -> None:
    dataset = VocDataset(
        format="voc",
        path=str(shared / "data" / "bccd" / "BCCD"),
        class_names=("RBC", "WBC", "Platelets"),
        test="ImageSets/Main/test.txt",
        first_pixel=first_pixel,
    )
    split = load_split(dataset, name)
    assert len(split.records) == num_images
    assert split.report.num_rows == num_rows
    rejected = [d for d in split.report.decisions if d.action == "rejected"]
    assert [(Path(d.file).name, d.reason) for d in rejected] == [(n, NO_AREA) for n in no_area]
    assert class_counts(split) == dict(zip(dataset.class_names, counts, strict=True))
    assert {record.size for record in split.records} == {(480, 640)}
    assert {Path(n).stem for n in no_area} <= {Path(r.path).stem for r in split.records}
    split.report.require_usable(dataset.max_rejected)


@pytest.mark.parametrize(
    ("name", "num_images", "counts"),
    [("train", 677, (103, 2443, 560)), ("val", 171, (18, 741, 156))],
)
def test_facemask(shared: Path, name: SplitName, num_images: int, counts: tuple[int, ...]) -> None:
    dataset = CocoDataset(
        format="coco",
        path=str(shared / "data" / "facemask"),
        class_names=("mask_weared_incorrect", "with_mask", "without_mask"),
        train=CocoSplit(images="train2017", annotations="annotations/custom_train.json"),
        val=CocoSplit(images="val2017", annotations="annotations/custom_val.json"),
    )
    split = load_split(dataset, name)
    assert len(split.records) == num_images
    assert class_counts(split) == dict(zip(dataset.class_names, counts, strict=True))
    assert split.category_ids == (0, 1, 2)
    assert split.report.decisions == ()


def by_place(boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Boxes in an order that rounding in the sixth decimal does not change."""
    order = np.lexsort((*boxes.round(1).T, labels))
    return np.concatenate([labels[order, None], boxes[order]], axis=1)


def test_coco128_is_the_same_as_yolo_text_and_as_coco_json(shared: Path) -> None:
    root = shared / "data" / "coco128"
    annotations = "annotations/instances_train2017.json"
    names = tuple(row["name"] for row in json.loads((root / annotations).read_text())["categories"])
    text = YoloDataset(path=str(root), class_names=names, train="images/train2017")
    document = CocoDataset(
        format="coco",
        path=str(root),
        class_names=names,
        train=CocoSplit(images="images/train2017", annotations=annotations),
    )
    yolo, coco = load_split(text, "train"), load_split(document, "train")
    assert len(yolo.records) == len(coco.records) == 128
    assert sum(len(record.boxes) for record in yolo.records) == 929
    assert sum(int(record.ignore.sum()) for record in coco.records) == coco.report.num_ignored == 10
    for a, b in zip(yolo.records, coco.records, strict=True):
        assert (a.path, a.size) == (b.path, b.size)
        plain = ~b.ignore
        np.testing.assert_allclose(
            by_place(a.boxes, a.labels), by_place(b.boxes[plain], b.labels[plain]), atol=1e-3
        )
    assert coco.category_ids[-1] == 90
    assert coco.report.decisions == ()
    assert yolo.report.num_unlabelled == 2
    assert [(Path(d.file).name, d.reason) for d in yolo.report.decisions] == [
        ("000000000656.txt", ORPHAN_LABELS),
        ("000000000659.txt", ORPHAN_LABELS),
    ]
    assert {d.action for d in yolo.report.decisions} == {"rejected"}
    yolo.report.require_usable(0.02)
