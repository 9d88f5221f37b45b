"""Every export of `exports.py` is recognised and gives its boxes, from a folder or an archive."""

import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.reading.load import load_dataset
from configs.schema.data import DatasetSettings
from data.intake.recognise import Recognised
from data.intake.resolve import look_at
from data.records.load import load_split
from data.records.split import Split, SplitName
from tests.data.intake.exports import ALL, EXPORTS, SPLITS, TRAIN, VAL, Labels, roboflow_yolo
from tests.data.intake.tool_exports import TOOL_EXPORTS

EXPORTS = EXPORTS | TOOL_EXPORTS

OTHER_NAMES = {"face": {"cat", "dog"}, "person": {"cat", "dog"}}
OTHER_NAMES |= {"car": {"cat"}, "bus": {"dog"}, "1": {"cat"}, "2": {"dog"}}


def recognised(path: Path) -> Recognised:
    return look_at(load_dataset(str(path)))


def true_labels(path: str) -> list[tuple[str, tuple[float, ...]]]:
    """Return the truth of an image by its name, which tools lengthen."""
    stem = Path(path).stem
    fitting = [name for name in ALL if stem.replace("_test", "").endswith(name.replace(" ", "_"))]
    fitting += [name for name in ALL if stem.endswith(name)]
    return list(ALL[fitting[0]])


def assert_boxes(split: Split, labels: Labels | None = None) -> None:
    """Every image of the split has exactly its true boxes, at most a pixel off."""
    assert not split.report.num_rejected, split.report.summary()
    for record in split.records:
        left = true_labels(record.path)
        for box, label, ignore in zip(record.boxes, record.labels, record.ignore, strict=True):
            if ignore:
                continue
            name = split.class_names[label]
            names = OTHER_NAMES.get(name, {name})
            match = [true for true in left if true[0] in names and max(abs(box - true[1])) <= 1.001]
            assert match, (record.path, name, box, left)
            left.remove(match[0])
        assert left == [], (record.path, left)
    if labels is not None:
        assert len(split.records) == len(labels)


def splits_of(dataset: DatasetSettings) -> dict[SplitName, Split]:
    names: tuple[SplitName, ...] = ("train", "val", "test")
    return {name: load_split(dataset, name) for name in names if getattr(dataset, name)}


def check(found: Recognised, format_name: str) -> None:
    assert getattr(found.dataset, "format") == format_name  # noqa: B009
    splits = splits_of(found.dataset)
    for split in splits.values():
        assert_boxes(split)
    named = [stem for stem, rows in ALL.items() if rows or format_name != "openimages"]
    assert sum(len(split.records) for split in splits.values()) in (len(named), len(TRAIN))
    assert any(len(record.boxes) for record in splits["train"].records)


@pytest.mark.parametrize("name", EXPORTS)
def test_folder(name: str, tmp_path: Path) -> None:
    write, format_name = EXPORTS[name]
    root = tmp_path / "my data (v1) größe"
    write(root)
    found = recognised(root)
    check(found, format_name)
    if len(splits_of(found.dataset)) == 2 and format_name != "openimages":
        other = "val" if found.dataset.val else "test"  # type: ignore[attr-defined]
        assert len(load_split(found.dataset, "train").records) == len(SPLITS["train"])
        assert len(load_split(found.dataset, other).records) == len(VAL)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EXPORTS)
def test_the_yaml_that_says_the_same_gives_the_same(name: str, tmp_path: Path) -> None:
    write, _ = EXPORTS[name]
    write(tmp_path / "x")
    found = recognised(tmp_path / "x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "my.yaml").write_text(found.to_yaml(), encoding="utf-8")
    again = look_at(load_dataset(str(tmp_path / "elsewhere" / "my.yaml")))
    for split, before in splits_of(found.dataset).items():
        after = load_split(again.dataset, split)
        assert after.fingerprint == before.fingerprint


def pack(folder: Path, archive: Path, top: str) -> None:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"{top}{path.relative_to(folder)}")


@pytest.mark.parametrize("top", ["", "export-7/"])
@pytest.mark.parametrize("name", ["Roboflow YOLO", "CVAT COCO", "labelImg VOC", "KITTI", "DeepPCB"])
def test_archive(name: str, top: str, tmp_path: Path) -> None:
    write, format_name = EXPORTS[name]
    write(tmp_path / "x")
    pack(tmp_path / "x", tmp_path / "x y.zip", top)
    shutil.rmtree(tmp_path / "x")
    check(recognised(tmp_path / "x y.zip"), format_name)
    check(recognised(tmp_path), format_name)  # a folder with nothing but the archive


@pytest.mark.parametrize(
    ("name", "file", "labels"),
    [
        ("CVAT YOLO 1.1", "obj.data", ALL),
        ("CVAT YOLO 1.1", "train.txt", TRAIN),
        ("CVAT COCO", "annotations/instances_train.json", TRAIN),
        ("Roboflow COCO", "valid/_annotations.coco.json", VAL),
        ("Label Studio COCO", "result.json", ALL),
        ("Open Images", "train-annotations-bbox.csv", {**TRAIN, "v1": []}),
        ("CrowdHuman", "annotation_train.odgt", ALL),
        ("WIDER FACE", "wider_face_split/wider_face_train_bbx_gt.txt", ALL),
        ("DeepPCB", "trainval.txt", ALL),
        ("labelme", "v1.json", ALL),
        ("CVAT for images", "annotations.xml", ALL),
        ("Label Studio tasks", "project-1.json", ALL),
        ("CSV table", "valid/_annotations.csv", VAL),
        ("labelImg VOC", "v1.xml", ALL),
    ],
)
def test_file(name: str, file: str, labels: Labels, tmp_path: Path) -> None:
    EXPORTS[name][0](tmp_path / "x")
    found = recognised(tmp_path / "x" / file)
    if file == "train.txt":
        found = look_at(load_dataset(str(tmp_path / "x" / file), ["data.class_names=[cat, dog]"]))
    splits = splits_of(found.dataset)
    for split in splits.values():
        assert_boxes(split)
    assert sum(len(split.records) for split in splits.values()) == len(labels)


def upper_suffixes(root: Path) -> None:
    for path in sorted(root.rglob("*.png")):
        path.rename(path.with_suffix(".PNG"))


def deeper(root: Path) -> None:
    inner = root.parent / "inner"
    root.rename(inner)
    (root / "one" / "two").mkdir(parents=True)
    inner.rename(root / "one" / "two" / "three")


def with_marks(root: Path) -> None:
    for path in [p for p in root.rglob("*") if p.suffix in (".txt", ".xml", ".csv", ".yaml")]:
        content = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + content)


def with_clutter(root: Path) -> None:
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        (folder / ".DS_Store").write_bytes(b"\0\1")
        (folder / "._im 1.png").write_bytes(b"\0\1")
    (root / "README.md").write_text("# a data set\n")
    (root / "__MACOSX").mkdir()


@pytest.mark.parametrize("change", [deeper, with_marks, with_clutter])
@pytest.mark.parametrize("name", EXPORTS)
def test_variants(name: str, change: Callable[[Path], None], tmp_path: Path) -> None:
    write, format_name = EXPORTS[name]
    write(tmp_path / "x")
    change(tmp_path / "x")
    check(recognised(tmp_path / "x"), format_name)


@pytest.mark.parametrize("name", ["Roboflow VOC", "labelImg YOLO", "KITTI", "VisDrone", "VOC"])
def test_suffixes_in_upper_case(name: str, tmp_path: Path) -> None:
    write, format_name = EXPORTS[name]
    write(tmp_path / "x")
    upper_suffixes(tmp_path / "x")
    check(recognised(tmp_path / "x"), format_name)


def test_a_neighbouring_data_set_is_never_taken(tmp_path: Path) -> None:
    roboflow_yolo(tmp_path / "cells")
    roboflow_yolo(tmp_path)
    for label in (tmp_path / "train" / "labels").glob("*.txt"):
        label.write_text("0 .5 .5 .1 .1\n")
    dataset = load_dataset(str(tmp_path / "cells" / "data.yaml"))
    split = load_split(dataset, "train")
    assert_boxes(split, TRAIN)
    assert all(os.sep + "cells" + os.sep in record.path for record in split.records)
