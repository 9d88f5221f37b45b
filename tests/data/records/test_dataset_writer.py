"""Whole data sets from format to format: the same boxes come back, nothing is written over."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs.reading.load import load_dataset
from data.records.dataset_writer import Format, require_empty, write_dataset
from data.records.load import load_split
from data.records.split import Split
from tests.data.formats.tiny import yolo
from utils.runtime.errors import UserError
from utils.structures.images import Record


def read(folder: Path) -> list[Split]:
    settings = load_dataset(folder / "data.yaml", ["data.cache=false"])
    names = ("train", "val", "test")
    return [load_split(settings, name) for name in names if getattr(settings, name, None)]


def start(tmp_path: Path) -> list[Split]:
    """A training split of four images, a val split of two, with names that meet in VOC."""
    rng = np.random.default_rng(0)

    def rows(count: int) -> str:
        lines = []
        for _ in range(count):
            width, height = rng.uniform(0.1, 0.5, 2)
            x, y = rng.uniform(width / 2, 1 - width / 2), rng.uniform(height / 2, 1 - height / 2)
            lines.append(f"{rng.integers(2)} {x:.7f} {y:.7f} {width:.7f} {height:.7f}")
        return "\n".join(lines)

    train = {"a": rows(3), "b/a": rows(5), "c.d": "", "é x": rows(1)}
    first = load_split(yolo(tmp_path / "t", train, cache=False), "train")
    second = load_split(yolo(tmp_path / "v", {"a": rows(2), "z": rows(4)}, cache=False), "train")
    return [first, replace(second, name="val")]


def contents(splits: Sequence[Split]) -> list[tuple[str, list[tuple[int, tuple[float, ...]]]]]:
    """Names do not survive a clash: images are told by their boxes."""
    return sorted(
        (split.name, sorted((int(label), tuple(box)) for label, box in rows(record)))
        for split in splits
        for record in split.records
    )


def rows(record: Record) -> list[tuple[int, list[float]]]:
    return list(zip(record.labels.tolist(), record.boxes.tolist(), strict=True))


def assert_same(one: Sequence[Split], two: Sequence[Split]) -> None:
    left, right = contents(one), contents(two)
    assert [(name, [label for label, _ in own]) for name, own in left] == [
        (name, [label for label, _ in own]) for name, own in right
    ]
    for (_, own), (_, other) in zip(left, right, strict=True):
        boxes = [np.array([box for _, box in side]).reshape(-1, 4) for side in (own, other)]
        np.testing.assert_allclose(*boxes, atol=2e-3)


def test_yolo_coco_voc_yolo_gives_the_same_boxes(tmp_path: Path) -> None:
    splits = start(tmp_path)
    current: Sequence[Split] = splits
    order: tuple[Format, ...] = ("coco", "voc", "yolo", "voc", "coco")
    for step, to in enumerate(order):
        written = write_dataset(current, to=to, root=tmp_path / f"{step}")
        assert (written.num_images, written.num_boxes, written.left_out) == (6, 15, 0)
        current = read(tmp_path / f"{step}")
        assert_same(current, splits)
        assert current[0].class_names == splits[0].class_names
        for split, other in zip(current, splits, strict=True):
            assert split.report.num_rejected == 0
            assert len(split.records) == len(other.records)


@pytest.mark.parametrize("to", ["coco", "yolo", "voc"])
def test_images_are_the_same_bytes_and_links_only_where_asked_for(
    to: Format, tmp_path: Path
) -> None:
    splits = start(tmp_path)
    for link in (False, True):
        write_dataset(splits, to=to, root=tmp_path / str(link), link=link)
        originals = {Path(r.path).read_bytes() for split in splits for r in split.records}
        for split in read(tmp_path / str(link)):
            for record in split.records:
                assert Path(record.path).read_bytes() in originals
                assert (os.stat(record.path).st_nlink > 1) == link
                assert not Path(record.path).is_symlink()


def test_images_of_one_name_get_another_and_are_counted(tmp_path: Path) -> None:
    splits = start(tmp_path)
    assert write_dataset(splits, to="yolo", root=tmp_path / "y").renamed == 1
    assert write_dataset(splits, to="voc", root=tmp_path / "x").renamed == 2
    assert sorted(path.name for path in (tmp_path / "x" / "JPEGImages").iterdir()) == [
        "a.jpg",
        "a_2.jpg",
        "a_3.jpg",
        "c.d.jpg",
        "z.jpg",
        "é x.jpg",
    ]


def test_what_a_format_cannot_express_is_counted(tmp_path: Path) -> None:
    (split, _) = start(tmp_path)
    first = next(record for record in split.records if len(record.boxes) == 3)
    ignored = replace(first, ignore=np.array([True, False, False]))
    small = np.array([[5, 5, 5.5, 20], *first.boxes[1:]], np.float32)
    written = write_dataset([replace(split, records=(ignored,))], to="yolo", root=tmp_path / "out1")
    assert (written.num_boxes, written.left_out) == (2, 1)
    tiny = replace(first, boxes=small)
    written = write_dataset([replace(split, records=(tiny,))], to="voc", root=tmp_path / "out2")
    assert (written.num_boxes, written.left_out) == (2, 1)
    kept = write_dataset([replace(split, records=(ignored,))], to="coco", root=tmp_path / "c")
    assert kept.left_out == 0
    assert read(tmp_path / "c")[0].records[0].ignore.tolist() == [True, False, False]


def test_category_ids_of_coco_are_kept(tmp_path: Path) -> None:
    splits = [replace(split, category_ids=(7, 3)) for split in start(tmp_path)]
    write_dataset(splits, to="coco", root=tmp_path / "c")
    assert read(tmp_path / "c")[0].category_ids == (7, 3)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    require_empty(tmp_path / "new")
    require_empty(tmp_path / "empty")
    for taken in (tmp_path / "full", tmp_path / "full" / "mine.txt"):
        with pytest.raises(UserError, match="not empty"):
            write_dataset(start(tmp_path / "s"), to="yolo", root=taken)
    assert (tmp_path / "full" / "mine.txt").read_text() == "x"
