import json
from dataclasses import replace

import numpy as np

from data.formats.label_report import LabelReport, decide
from data.records.split import Split, fingerprint, pack, unpack
from utils.structures.images import Record


def record(image_id: int, count: int, **changes: object) -> Record:
    rng = np.random.default_rng(image_id)
    corner = rng.uniform(0, 30, (count, 2))
    values = {
        "path": f"/data/images/{image_id}.jpg",
        "image_id": image_id,
        "size": (60, 80),
        "boxes": np.concatenate([corner, corner + 5], axis=1).astype(np.float32),
        "labels": np.arange(count),
        "ignore": np.arange(count) % 2 == 1,
        "area": rng.uniform(1, 9, count).astype(np.float32),
    }
    return Record(**values | changes)  # type: ignore[arg-type]


def split(*records: Record) -> Split:
    report = LabelReport(
        split="train",
        decisions=(decide("f", "line 1", "v", "r", "noted"),),
        num_rows=9,
        num_rejected=2,
        num_ignored=1,
        num_images=3,
        num_background=1,
        num_unlabelled=1,
        num_left_out=0,
    )
    return Split(
        name="train",
        records=records,
        class_names=("a", "b"),
        category_ids=(7, 3),
        report=report,
        fingerprint="0",
    )


def assert_same_record(a: Record, b: Record) -> None:
    assert (a.path, a.image_id, a.size) == (b.path, b.image_id, b.size)
    for column in ("boxes", "labels", "ignore", "area"):
        np.testing.assert_array_equal(getattr(a, column), getattr(b, column))
        assert getattr(a, column).dtype == getattr(b, column).dtype


def test_packed_split_comes_back_whole() -> None:
    for records in ((record(0, 3), record(1, 0), record(5, 2)), (record(0, 0),)):
        written = split(*records)
        entry = pack(written)
        through_json = replace(entry, facts=json.loads(json.dumps(entry.facts)))
        read = unpack(through_json)
        assert replace(read, records=()) == replace(written, records=())
        for one, other in zip(read.records, written.records, strict=True):
            assert_same_record(one, other)


def test_fingerprint_sees_all_that_training_sees_and_not_the_root() -> None:
    base = record(0, 3)
    names = ("a", "b", "c")
    original = fingerprint([base], names, "/data")
    moved = replace(base, path="/elsewhere/images/0.jpg")
    assert fingerprint([moved], names, "/elsewhere") == original
    boxes = base.boxes.copy()
    boxes[0, 0] = np.nextafter(boxes[0, 0], np.float32(99))
    changes = [
        {"boxes": boxes},
        {"labels": base.labels[::-1]},
        {"ignore": ~base.ignore},
        {"area": base.area + 1},
        {"size": (61, 80)},
        {"image_id": 9},
        {"path": "/data/images/other.jpg"},
    ]
    prints = {fingerprint([replace(base, **change)], names, "/data") for change in changes}
    prints.add(fingerprint([base], ("a", "c", "b"), "/data"))
    prints.add(fingerprint([base, record(1, 0)], names, "/data"))
    assert len(prints) == len(changes) + 2
    assert original not in prints
