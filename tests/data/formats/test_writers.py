from pathlib import Path

import numpy as np
import pytest

from configs.schema.data import CocoDataset, CocoSplit, VocDataset, YoloDataset
from data.formats.writers.coco_writer import write_coco
from data.formats.writers.voc_writer import write_voc
from data.formats.writers.yolo_writer import write_yolo
from data.records.load import load_split
from tests.data.formats.tiny import NAMES, write_image
from utils.runtime.errors import UserError
from utils.structures.images import Record


def records(folder: Path, *, smallest_px: float = 2.0) -> list[Record]:
    """Images of several sizes with 5, 0 and 1 boxes at fractional places, some ignored."""
    rng = np.random.default_rng(0)
    result = []
    for image_id, (height, width, count) in enumerate([(60, 80, 5), (33, 47, 0), (721, 1283, 1)]):
        path = write_image(folder / f"im.{image_id}.png", height, width)
        corner = rng.uniform(0, 1, (count, 2)) * (width - 20, height - 20)
        size = rng.uniform(smallest_px, 20, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
        result.append(
            Record(
                path=str(path),
                image_id=image_id,
                size=(height, width),
                boxes=boxes,
                labels=rng.integers(0, 2, count),
                ignore=np.arange(count) % 3 == 2,
                area=((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).astype(np.float32),
            )
        )
    return result


def assert_same(read: Record, written: Record, kept: np.ndarray, *, with_area: bool) -> None:
    assert read.size == written.size
    assert Path(read.path).name == Path(written.path).name
    assert Path(read.path).read_bytes() == Path(written.path).read_bytes()
    np.testing.assert_allclose(read.boxes, written.boxes[kept], atol=1e-3)
    np.testing.assert_array_equal(read.labels, written.labels[kept])
    np.testing.assert_array_equal(read.ignore, written.ignore[kept])
    if with_area:
        np.testing.assert_allclose(read.area, written.area[kept], rtol=1e-6)


def test_yolo_round_trip(tmp_path: Path) -> None:
    written = records(tmp_path / "source")
    root = tmp_path / "new"
    left_out = write_yolo(written, class_names=NAMES, root=root, split="train")
    assert left_out == sum(int(record.ignore.sum()) for record in written) == 1
    split = load_split(
        YoloDataset(path=str(root), class_names=NAMES, train="images/train"), "train"
    )
    assert split.report.decisions == ()
    for read, record in zip(split.records, written, strict=True):
        assert_same(read, record, ~record.ignore, with_area=False)


def test_coco_round_trip(tmp_path: Path) -> None:
    written = records(tmp_path / "source")
    root = tmp_path / "new"
    write_coco(written, class_names=NAMES, root=root, split="train", category_ids=(9, 4))
    dataset = CocoDataset(
        format="coco",
        path=str(root),
        class_names=NAMES,
        train=CocoSplit(images="train", annotations="annotations/train.json"),
    )
    split = load_split(dataset, "train")
    assert split.report.decisions == ()
    assert split.category_ids == (9, 4)
    for read, record in zip(split.records, written, strict=True):
        assert read.image_id == record.image_id
        assert_same(read, record, np.ones(len(record.boxes), bool), with_area=True)


@pytest.mark.parametrize("first_pixel", [0, 1])
def test_voc_round_trip(tmp_path: Path, first_pixel: int) -> None:
    written = records(tmp_path / "source")
    root = tmp_path / "new"
    options = {"class_names": NAMES, "root": root, "split": "train", "first_pixel": first_pixel}
    assert write_voc(written, **options) == 0
    settings = {"format": "voc", "path": str(root), "class_names": NAMES}
    split = load_split(VocDataset(**settings, first_pixel=first_pixel), "train")
    assert split.report.decisions == ()
    for read, record in zip(split.records, written, strict=True):
        assert_same(read, record, np.ones(len(record.boxes), bool), with_area=False)


def test_voc_counts_what_one_based_pixels_cannot_say(tmp_path: Path) -> None:
    (record, *_) = records(tmp_path / "source", smallest_px=19)
    thin = np.array([[5, 5, 6, 9], [5, 5, 6.5, 9], [5, 5, 9, 5.5]], np.float32)
    boxes = np.concatenate([thin, record.boxes[:2]])
    changed = Record(
        path=record.path,
        image_id=0,
        size=record.size,
        boxes=boxes,
        labels=record.labels,
        ignore=np.zeros(5, bool),
        area=record.area,
    )
    options = {"class_names": NAMES, "split": "train"}
    assert write_voc([changed], root=tmp_path / "one", first_pixel=1, **options) == 2
    assert write_voc([changed], root=tmp_path / "zero", first_pixel=0, **options) == 0


def test_same_names_from_different_folders_are_refused(tmp_path: Path) -> None:
    first, second = records(tmp_path / "a")[:1], records(tmp_path / "b")[:1]
    for write in (write_yolo, write_coco, write_voc):
        with pytest.raises(UserError, match="have the same name"):
            write(first + second, class_names=NAMES, root=tmp_path / "new", split="train")


def test_nothing_is_written_into_the_source(tmp_path: Path) -> None:
    written = records(tmp_path / "source")
    before = sorted((tmp_path / "source").rglob("*"))
    for write in (write_yolo, write_coco, write_voc):
        write(written, class_names=NAMES, root=tmp_path / write.__name__, split="val")
    assert sorted((tmp_path / "source").rglob("*")) == before
