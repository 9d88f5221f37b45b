from pathlib import Path
from typing import Any

import pytest

from configs.schema.data import VocDataset
from data.formats.rows import NO_AREA, NOT_FINITE, RawSplit, judge
from data.formats.voc import (
    BROKEN_XML,
    DIFFICULT,
    LISTED_TWICE,
    NO_BOX,
    NO_XML,
    WRONG_NAME,
    VocReader,
)
from data.records.load import load_split
from tests.data.formats.tiny import voc, voc_object, write_image
from utils.runtime.errors import UserError


def read(dataset: VocDataset) -> RawSplit:
    reader = VocReader(dataset, "train")
    return reader.read(reader.find())


@pytest.mark.parametrize(
    ("first_pixel", "box"), [(1, (0.0, 0.0, 80.0, 60.0)), (0, (1.0, 1.0, 80.0, 60.0))]
)
def test_first_pixel(tmp_path: Path, first_pixel: int, box: tuple[float, ...]) -> None:
    text = voc_object("dog", (1, 1, 80, 60))
    raw = read(voc(tmp_path, {"a": text}, first_pixel=first_pixel))
    (row,) = raw.images[0].rows
    assert row.box == box
    assert row.label == 1


@pytest.mark.parametrize("first_pixel", [0, 1])
@pytest.mark.parametrize("corners", [(5, 5, 5, 9), (5, 9, 9, 9), (5, 5, 5, 5), (9, 5, 5, 9)])
def test_area_is_judged_on_the_numbers_of_the_file(
    tmp_path: Path, first_pixel: int, corners: tuple[int, int, int, int]
) -> None:
    raw = read(voc(tmp_path, {"a": voc_object("cat", corners)}, first_pixel=first_pixel))
    assert [row.fault for row in raw.images[0].rows] == [NO_AREA]


@pytest.mark.parametrize(
    ("difficult", "fault", "ignore"),
    [("ignore", "", True), ("keep", "", False), ("reject", DIFFICULT, False)],
)
def test_difficult(tmp_path: Path, difficult: str, fault: str, ignore: bool) -> None:
    text = voc_object("cat", (1, 1, 9, 9), "<difficult>1</difficult><truncated>1</truncated>")
    plain = voc_object("cat", (1, 1, 8, 8), "<difficult>0</difficult><truncated>1</truncated>")
    raw = read(voc(tmp_path, {"a": text + plain}, difficult=difficult))
    first, second = raw.images[0].rows
    assert (first.fault, first.ignore) == (fault, ignore)
    assert (second.fault, second.ignore) == ("", False)


@pytest.mark.parametrize(
    ("name", "corners", "fault"),
    [
        ("cow", (1, 1, 9, 9), "class 'cow' is not in class_names"),
        ("", (1, 1, 9, 9), "class '' is not in class_names"),
        ("cat", (1, "x", 9, 9), NO_BOX),
        ("cat", (1, "", 9, 9), NO_BOX),
        ("cat", (1, "nan", 9, 9), NOT_FINITE),
        ("cat", (1, 1, "inf", 9), NOT_FINITE),
    ],
)
def test_bad_object(tmp_path: Path, name: str, corners: Any, fault: str) -> None:
    good = voc_object("cat", (1, 1, 9, 9))
    (image,) = read(voc(tmp_path, {"a": good + voc_object(name, corners)})).images
    judged = judge(image, (60, 80))
    assert [(d.location, d.reason, d.action) for d in judged.decisions] == [
        ("object 2", fault, "rejected")
    ]
    assert len(judged.boxes) == 1


def test_object_without_box_and_box_of_a_part(tmp_path: Path) -> None:
    part = "<part><bndbox><xmin>1</xmin></bndbox></part>"
    raw = read(voc(tmp_path, {"a": f"<object><name>cat</name>{part}</object>"}))
    assert [row.fault for row in raw.images[0].rows] == [NO_BOX]


def test_wrong_file_name_is_noted_and_the_stem_of_the_xml_counts(tmp_path: Path) -> None:
    raw = read(voc(tmp_path, {"a": "<filename>other.jpg</filename>", "b": "", "c.d": ""}))
    assert [Path(image.path).name for image in raw.images] == ["a.jpg", "b.jpg", "c.d.jpg"]
    assert [(d.value, d.reason) for d in raw.notes] == [("other.jpg", WRONG_NAME)]


def test_right_file_name_with_folder_and_other_suffix_is_silent(tmp_path: Path) -> None:
    assert read(voc(tmp_path, {"a": "<filename>x/a.png</filename>"})).notes == []


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("<size><width>8</width><height>6</height></size>", (6, 8)),
        ("<size><width>0</width><height>0</height></size>", None),
        ("<size><width>x</width></size>", None),
        ("", None),
    ],
)
def test_stated_size(tmp_path: Path, text: str, size: tuple[int, int] | None) -> None:
    assert read(voc(tmp_path, {"a": text})).images[0].stated_size == size


def test_image_without_xml_is_background(tmp_path: Path) -> None:
    raw = read(voc(tmp_path, {"a": None, "b": ""}))
    assert [(image.label_file != "", len(image.rows)) for image in raw.images] == [
        (False, 0),
        (True, 0),
    ]
    assert [d.reason for d in raw.notes] == [NO_XML]


def test_broken_xml_leaves_the_image_out_and_counts_as_a_row(tmp_path: Path) -> None:
    raw = read(voc(tmp_path, {"a": "<object>", "b": ""}))
    assert raw.images[0].fault.startswith("its XML cannot be parsed")
    assert [(d.reason, d.action) for d in raw.stray_rows] == [(BROKEN_XML, "rejected")]
    assert not raw.images[1].fault


def test_listed_image_that_is_missing_has_a_fault_and_keeps_its_rows(tmp_path: Path) -> None:
    dataset = voc(tmp_path, {"a": voc_object("cat", (1, 1, 9, 9))})
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    (image,) = read(dataset).images
    assert image.fault == "no such file with an image suffix"
    assert len(image.rows) == 1


def test_lists_with_flags_suffixes_doubles_and_names_with_blanks(tmp_path: Path) -> None:
    dataset = voc(tmp_path, {"a": "", "b": "", "c 1": "", "d": ""})
    names = tmp_path / "ImageSets" / "Main" / "train.txt"
    names.write_text("a -1\r\nb  1\n\nc 1\nd.jpg\na\n")
    raw = read(dataset)
    assert [Path(image.path).stem for image in raw.images] == ["a", "b", "c 1", "d"]
    assert [(d.location, d.reason) for d in raw.notes] == [("image a", LISTED_TWICE)]


def test_other_image_suffixes(tmp_path: Path) -> None:
    dataset = voc(tmp_path, {"a": ""})
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    write_image(tmp_path / "JPEGImages" / "a.PNG")
    assert Path(read(dataset).images[0].path).name == "a.PNG"


def test_missing_pieces(tmp_path: Path) -> None:
    dataset = voc(tmp_path, {"a": ""})
    names = tmp_path / "ImageSets" / "Main" / "train.txt"
    (tmp_path / "Annotations" / "a.xml").unlink()
    with pytest.raises(UserError, match=r"none of the 1 images has an XML file.*a\.xml"):
        read(dataset)
    names.write_text("\n")
    with pytest.raises(UserError, match=r"data\.train: .*train\.txt names no images"):
        read(dataset)
    (tmp_path / "Annotations").rmdir()
    with pytest.raises(UserError, match=r"data\.annotations: .*Annotations does not exist"):
        read(dataset)
    names.unlink()
    with pytest.raises(UserError, match=r"data\.train: .*train\.txt does not exist"):
        read(dataset)


def test_every_split_may_have_folders_of_its_own(tmp_path: Path) -> None:
    """Images and XML of a split in its own folders, with the same names in both."""
    for split, right in (("train", 41), ("valid", 42)):
        write_image(tmp_path / split / "images" / "a.jpg")
        xml = tmp_path / split / "labels" / "a.xml"
        xml.parent.mkdir(parents=True)
        inner = voc_object("cat", (1, 1, right, 20))
        xml.write_text(f"<annotation><filename>a.jpg</filename>{inner}</annotation>")
    dataset = VocDataset(
        format="voc",
        path=str(tmp_path),
        class_names=("cat", "dog"),
        images=".",
        annotations=".",
        train="train",
        val="valid",
    )
    for split, right in (("train", 41), ("val", 42)):
        (record,) = load_split(dataset, split).records
        assert record.boxes.tolist() == [[0, 0, right, 20]]
        folder = "train" if split == "train" else "valid"
        assert Path(record.path) == tmp_path / folder / "images" / "a.jpg"
