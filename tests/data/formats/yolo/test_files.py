import os
from pathlib import Path

import pytest

from data.formats.yolo.files import (
    LISTED_TWICE,
    NOT_AN_IMAGE_NAME,
    ORPHAN_LABELS,
    SHARED_LABELS,
    find_yolo_files,
    label_path,
)
from tests.data.formats.tiny import write_image, yolo
from utils.runtime.errors import UserError

ROW = "0 .5 .5 .1 .1\n"


@pytest.mark.parametrize(
    ("image", "label"),
    [
        ("/d/images/train/x.jpg", "/d/labels/train/x.txt"),
        ("/d/images/x.y.rf.abc.png", "/d/labels/x.y.rf.abc.txt"),
        ("/images/images/images.jpg", "/images/labels/images.txt"),
        ("/d/my_images/x.jpg", "/d/my_images/x.txt"),
        ("/d/images/a/images_b/x.JPG", "/d/labels/a/images_b/x.txt"),
    ],
)
def test_label_path(image: str, label: str) -> None:
    assert label_path(image.replace("/", os.sep)) == label.replace("/", os.sep)


def names(paths: tuple[str, ...]) -> list[str]:
    return [Path(path).name for path in paths]


def test_folders_are_searched_to_the_bottom_and_hidden_files_left_alone(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, {"b": ROW, "deep/er/a": ROW})
    write_image(tmp_path / "images" / ".hidden" / "h.jpg")
    write_image(tmp_path / "images" / "UPPER.PNG")
    files = find_yolo_files(dataset, "train")
    assert names(files.images) == ["UPPER.PNG", "b.jpg", "a.jpg"]
    assert files.notes == ()


def test_list_paths_are_relative_to_the_list_else_to_the_root(tmp_path: Path) -> None:
    yolo(tmp_path, {"a": ROW, "b": ROW, "c": ROW})
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "t.txt").write_text(
        f"../images/a.jpg\n\nimages/b.jpg\n{tmp_path}/images/c.jpg\n"
    )
    dataset = yolo(tmp_path, {}, train="lists/t.txt")
    assert names(find_yolo_files(dataset, "train").images) == ["a.jpg", "b.jpg", "c.jpg"]


def test_several_sources_are_one_split_and_doubles_are_noted(tmp_path: Path) -> None:
    yolo(tmp_path, {"one/a": ROW, "two/b": ROW})
    (tmp_path / "t.txt").write_text("images/one/a.jpg\n")
    dataset = yolo(tmp_path, {}, train=("images/one", "images/two", "t.txt"))
    files = find_yolo_files(dataset, "train")
    assert names(files.images) == ["a.jpg", "b.jpg"]
    assert [(note.reason, note.value) for note in files.notes] == [(LISTED_TWICE, "2 times")]


def test_rows_of_orphan_labels_count_as_rejected(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, {"a": ROW})
    (tmp_path / "labels" / "gone.txt").write_text(ROW * 3 + "\n")
    (tmp_path / "labels" / "sub").mkdir()
    (tmp_path / "labels" / "sub" / "lost.txt").write_text(ROW)
    (tmp_path / "labels" / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "labels" / "README.txt").write_text("exported on 2026 by me\n")
    stray = find_yolo_files(dataset, "train").stray_rows
    assert [(Path(n.file).name, n.value, n.reason, n.action, rows) for n, rows in stray] == [
        ("gone.txt", "3 rows", ORPHAN_LABELS, "rejected", 3),
        ("lost.txt", "1 row", ORPHAN_LABELS, "rejected", 1),
    ]


def test_labels_of_images_in_other_lists_are_no_orphans(tmp_path: Path) -> None:
    yolo(tmp_path, {"a": ROW, "b": ROW})
    (tmp_path / "t.txt").write_text("images/a.jpg\n")
    dataset = yolo(tmp_path, {}, train="t.txt")
    assert find_yolo_files(dataset, "train").notes == ()


def test_labels_beside_the_images(tmp_path: Path) -> None:
    write_image(tmp_path / "x.jpg")
    (tmp_path / "x.txt").write_text(ROW)
    (tmp_path / "list.txt").write_text("x.jpg\n")
    files = find_yolo_files(yolo(tmp_path, {}, train="list.txt"), "train")
    assert list(files.labels) == [str(tmp_path / "x.txt")]
    assert files.notes == ()
    (tmp_path / "y.txt").write_text(ROW)
    ((note, rows),) = find_yolo_files(yolo(tmp_path, {}, train="list.txt"), "train").stray_rows
    assert (note.reason, Path(note.file).name, rows) == (ORPHAN_LABELS, "y.txt", 1)


def test_other_files_and_shared_labels_are_noted(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, {"a": ROW})
    write_image(tmp_path / "images" / "a.png")
    (tmp_path / "images" / "b.psd").write_bytes(b"8BPS")
    (tmp_path / "images" / "c.txt").write_text("text")
    notes = find_yolo_files(dataset, "train").notes
    assert [(Path(note.file).name, note.reason) for note in notes] == [
        ("b.psd", NOT_AN_IMAGE_NAME),
        ("a.txt", SHARED_LABELS),
    ]


def test_missing_folder_list_images_and_labels_are_told(tmp_path: Path) -> None:
    def find(**settings: str) -> None:
        find_yolo_files(yolo(tmp_path, {}, **settings), "train")

    with pytest.raises(UserError, match=r"data\.train: .*nowhere does not exist"):
        find(train="nowhere")
    with pytest.raises(UserError, match=r"data\.train: .*list\.txt does not exist"):
        find(train="list.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"data\.train: no images in empty under"):
        find(train="empty")
    (tmp_path / "list.txt").write_text("\n")
    with pytest.raises(UserError, match=r"data\.train: no images in list.txt"):
        find(train="list.txt")
    write_image(tmp_path / "images" / "x.jpg")
    with pytest.raises(UserError, match=r"none of the 1 images has a label file.*labels/x\.txt"):
        find(train="images")


@pytest.mark.parametrize("line", ["images/a.jpg labels/a.txt", "images/a.jpg\tlabels/a.txt"])
def test_a_list_with_columns_is_refused_by_name(tmp_path: Path, line: str) -> None:
    yolo(tmp_path, {"a": ROW})
    (tmp_path / "list.txt").write_text(f"{line}\n")
    with pytest.raises(
        UserError, match=r"data\.train: .*list\.txt has several columns .*one image"
    ):
        find_yolo_files(yolo(tmp_path, {}, train="list.txt"), "train")


def test_a_blank_in_the_name_of_an_image_is_no_second_column(tmp_path: Path) -> None:
    yolo(tmp_path, {"a b": ROW})
    (tmp_path / "list.txt").write_text("images/a b.jpg\n")
    found = find_yolo_files(yolo(tmp_path, {}, train="list.txt"), "train")
    assert names(found.images) == ["a b.jpg"]
