"""Classes that a federated set does not label throughout in an image are neutral there."""

import json
from pathlib import Path

import pytest

from configs.schema.data import CocoDataset, CocoSplit
from data.formats.coco import federated
from data.formats.coco import reader as coco
from data.records.load import load_split
from data.records.split import SplitName
from tests.data.intake.exports import save_image

NAMES = ("cat", "dog", "hen", "fox")


def dataset(root: Path, **keys: list[int]) -> CocoDataset:
    """One image with a cat; val and train are the same."""
    save_image(root / "a.png")
    image = {"id": 1, "file_name": "a.png", "width": 80, "height": 60, **keys}
    cat = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}
    categories = [{"id": number, "name": name} for number, name in enumerate(NAMES, 1)]
    document = {"images": [image], "annotations": [cat], "categories": categories}
    (root / "a.json").write_text(json.dumps(document))
    split = CocoSplit(images=".", annotations="a.json")
    return CocoDataset(
        format="coco", path=str(root), class_names=NAMES, train=split, val=split, cache=False
    )


def neutral_classes(data: CocoDataset, split: SplitName) -> set[str]:
    (record,) = load_split(data, split).records
    rows = zip(record.labels, record.boxes.tolist(), record.ignore, strict=True)
    return {NAMES[label] for label, box, ignore in rows if ignore and box == [0, 0, 80, 60]}


@pytest.mark.parametrize(
    ("keys", "split", "neutral"),
    [
        ({"neg_category_ids": [2]}, "val", {"hen", "fox"}),
        ({"neg_category_ids": [2, 3, 4]}, "val", set()),
        ({"neg_category_ids": []}, "val", {"dog", "hen", "fox"}),
        ({"neg_category_ids": [2]}, "train", set()),
        ({}, "val", set()),
        ({"not_exhaustive_category_ids": [1]}, "val", {"cat"}),
        ({"not_exhaustive_category_ids": [1], "neg_category_ids": [2, 3]}, "val", {"cat", "fox"}),
        ({"not_exhaustive_category_ids": [1]}, "train", {"cat"}),
    ],
)
def test_neutral_classes(
    keys: dict[str, list[int]], split: SplitName, neutral: set[str], tmp_path: Path
) -> None:
    assert neutral_classes(dataset(tmp_path, **keys), split) == neutral


def test_too_many_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco, "MOST_ROWS", 3)
    data = dataset(tmp_path, neg_category_ids=[2])
    assert neutral_classes(data, "val") == set()
    reasons = [decision.reason for decision in load_split(data, "val").report.decisions]
    assert federated.TOO_MANY in reasons
