"""Pipes, devices and files of strange content where labels are expected: one line, at once."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.reading.load import load_dataset
from data.formats.tools import TOOLS
from data.intake.resolve import look_at
from data.records.load import load_split
from tests.data.formats.tiny import write_image
from utils.runtime.errors import UserError

LABEL_FILES = (
    "0.txt", "0.json", "instances_train.json", "0.xml", "boxes.csv", "annotation_train.odgt",
    "obj.data", "wider_face_train_bbx_gt.txt", "export.zip", "data.yaml", "ann/0.json",
)  # fmt: skip


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


MADE = {
    "pipe": _pipe,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "view of the system": lambda path: path.symlink_to("/proc/self/maps"),
    "file of 20 GB": _sparse,
}


def told_of(path: Path) -> str:
    """Return the line that a data set is refused with, by recognising it and then reading it."""
    with pytest.raises((UserError, ConfigError)) as caught:
        load_split(look_at(load_dataset(str(path))).dataset, "train")
    return str(caught.value)


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("name", LABEL_FILES)
@pytest.mark.parametrize("is_named", [False, True], ids=["in_a_folder", "named_itself"])
def test_what_is_no_file_is_refused(name: str, kind: str, is_named: bool, tmp_path: Path) -> None:
    if kind == "file of 20 GB" and name == "export.zip":
        pytest.skip("an archive may be so large")
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    if name != "export.zip":
        write_image(tmp_path / "data" / "0.jpg")
    MADE[kind](path)
    told = told_of(path if is_named else tmp_path / "data")
    assert path.name in told or str(path.resolve()) in told
    assert "\n" not in told


def test_a_folder_named_like_a_label_file_is_no_label_file(tmp_path: Path) -> None:
    write_image(tmp_path / "0.jpg")
    (tmp_path / "0.txt").mkdir()
    assert "holds 1 images and no labels" in told_of(tmp_path)


DEEP = "[" * 50_000 + "]" * 50_000


@pytest.mark.parametrize("name", ["0.json", "instances_train.json", "a.odgt", "ann/0.json"])
def test_nested_text_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    write_image(tmp_path / "0.jpg")
    (tmp_path / "ann").mkdir()
    (tmp_path / "meta.json").write_text('{"classes": [{"title": "cat"}]}')
    text = f'{{"images": [], "annotations": [], "categories": {DEEP}}}'
    (tmp_path / name).write_text(text)
    told = told_of(tmp_path / name)
    assert len(told) < 500
    assert "\n" not in told


def test_names_of_images_that_json_cannot_hold(tmp_path: Path) -> None:
    write_image(tmp_path / "0.jpg")
    broken = r'{"images": [{"file_name": "\x"}], "annotations": [], "categories": []}'
    (tmp_path / "a.json").write_text(broken)
    assert "is not valid JSON" in told_of(tmp_path)


STRANGE = [
    None, 5, "x", [], {}, [5], [None], {"a": 1},
    {"shapes": 5}, {"shapes": [5, {"label": None, "points": 5}], "imagePath": 3},
    {"objects": [5, {"classTitle": []}], "size": 5}, {"classes": [5, {}]}, {"classes": 5},
    {"ID": "0", "gtboxes": 5}, {"ID": "0", "gtboxes": [5, {"fbox": {}}]}, {"ID": 5},
]  # fmt: skip
TEXTS = [
    *map(json.dumps, STRANGE), DEEP, "\0", "\ud800", "a" * 200_000, '"' + "a" * 200_000,
    "ImageID,LabelName,XMin,YMin,XMax,YMax\n0,/m/1\n0,/m/1,1,1,1,1,1,1,1\n\n0",
    "ImageID,LabelName,XMin,YMin,XMax,YMax\n" + '"' + "b" * 200_000,
    "0.jpg\n1\n1 2 3", "0.jpg x.txt\n0.jpg", "1,2,3,4,nan,1e400", "Car 0 0 0 1e400 1 1 1 0 0 0",
    "NaN NaN NaN NaN NaN NaN", "0.jpg\n-1\n1 2 3 4 5 6 7 8",
]  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS)
def test_strange_content_is_read_or_refused_with_a_reason(tool: str) -> None:
    path = "classes/ann/0.json"
    for text in TEXTS:
        files = {
            path: text.encode("utf-8", "surrogatepass"),
            "ann/meta.json": text.encode("utf-8", "replace"),
        }
        names = TOOLS[tool].class_names(files)
        assert all(isinstance(name, str) for name in names)
        with suppress(ValueError):
            images = TOOLS[tool].parse(path, files[path], files)
            assert all(isinstance(row.class_name, str) for image in images for row in image.rows)
