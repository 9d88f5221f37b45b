import os
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.schema.data import SyntheticDataset, YoloDataset
from data.formats.box_units import SIZE_DIFFERS
from data.formats.rows import IMAGE_LEFT_OUT, NOT_FINITE
from data.formats.yolo.reader import YoloReader
from data.images import facts as image_facts
from data.index_cache import IndexCache
from data.records import load as records
from data.records.load import Split, load_split
from tests.data.formats.tiny import coco, voc, voc_object, write_image, yolo
from utils.runtime.errors import UserError

ROW = "0 0.5 0.5 0.25 0.5\n"


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCALDET_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry for every time that labels were parsed."""
    calls: list[str] = []
    read = YoloReader.read

    def spy(self: YoloReader, *args: Any) -> Any:
        calls.append("read")
        return read(self, *args)

    monkeypatch.setattr(YoloReader, "read", spy)
    return calls


def check_accounts(split: Split) -> None:
    """Rows in = rows used + rows rejected, and every rejected row is listed."""
    report = split.report
    used = sum(len(record.boxes) for record in split.records)
    rejected_rows = [
        row for row in report.decisions if row.action == "rejected" and row.location != "image"
    ]
    assert report.num_rows == used + report.num_rejected + report.num_dropped
    assert report.num_rejected == len(rejected_rows)
    assert report.num_used == used
    assert report.num_images == len(split.records)
    assert report.num_background == sum(len(record.boxes) == 0 for record in split.records)


def assert_same(a: Split, b: Split) -> None:
    assert (a.fingerprint, a.report, a.category_ids) == (b.fingerprint, b.report, b.category_ids)
    for one, other in zip(a.records, b.records, strict=True):
        assert (one.path, one.image_id, one.size) == (other.path, other.image_id, other.size)
        for column in ("boxes", "labels", "ignore", "area"):
            np.testing.assert_array_equal(getattr(one, column), getattr(other, column))


def test_records_in_pixels(tmp_path: Path) -> None:
    split = load_split(yolo(tmp_path, {"a": ROW, "b": ""}), "train")
    first, second = split.records
    assert first.boxes.tolist() == [[30, 15, 50, 45]]
    assert first.area.tolist() == [600]
    assert (first.size, first.image_id, second.image_id) == ((60, 80), 0, 1)
    assert second.boxes.shape == (0, 4)
    assert split.category_ids == (0, 1)
    check_accounts(split)


def test_bad_rows_are_reported_and_the_image_stays(tmp_path: Path) -> None:
    text = ROW + "0 nan 0.5 0.1 0.1\n7 0.5 0.5 0.1 0.1\n" + ROW + "1 1.0 0.5 0.02 0.5\n"
    split = load_split(yolo(tmp_path, {"a": text}), "train")
    assert [
        (Path(d.file).name, d.location, d.reason, d.action) for d in split.report.decisions
    ] == [
        ("a.txt", "line 2", NOT_FINITE, "rejected"),
        ("a.txt", "line 3", "class id is not in 0..1", "rejected"),
        ("a.txt", "line 4", "same box and class as an earlier row: used once", "repaired"),
        ("a.txt", "line 5", "box reached up to 1 px outside the image: clipped", "repaired"),
    ]
    assert len(split.records[0].boxes) == 2
    check_accounts(split)
    with pytest.raises(UserError, match="2 of 5 label rows"):
        split.report.require_usable(0.01)


def test_unusable_images_are_left_out_by_name_with_their_rows(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, {"a": ROW, "cut": ROW + ROW, "text": ROW, "empty": ROW})
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    cut = tmp_path / "images" / "cut.jpg"
    Image.fromarray(noise).save(cut)
    cut.write_bytes(cut.read_bytes()[:-500])
    before = cut.read_bytes()
    (tmp_path / "images" / "text.jpg").write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "images" / "empty.jpg").write_bytes(b"")
    split = load_split(dataset, "train")
    left_out = {
        Path(d.file).name: d.reason for d in split.report.decisions if d.location == "image"
    }
    assert left_out.keys() == {"cut.jpg", "text.jpg", "empty.jpg"}
    assert left_out["cut.jpg"].startswith("truncated image")
    assert (
        left_out["text.jpg"] == "not an image in a format that is read (JPEG, PNG, TIFF, WebP, ...)"
    )
    assert left_out["empty.jpg"] == "the file is empty"
    assert sum(d.reason == IMAGE_LEFT_OUT for d in split.report.decisions) == 4
    assert split.report.num_left_out == 3
    assert [record.image_id for record in split.records] == [0]
    assert cut.read_bytes() == before
    check_accounts(split)
    assert "3 left out" in split.report.summary()[0]


def test_listed_text_file_and_missing_image_are_left_out(tmp_path: Path) -> None:
    yolo(tmp_path, {"a": ROW})
    (tmp_path / "images" / "notes.txt").write_text("hello")
    (tmp_path / "t.txt").write_text("images/a.jpg\nimages/notes.txt\nimages/gone.jpg\n")
    split = load_split(yolo(tmp_path, {}, train="t.txt"), "train")
    reasons = [(Path(d.file).name, d.reason) for d in split.report.decisions]
    assert reasons == [
        ("gone.jpg", "no such file"),
        (
            "notes.txt",
            "not an image in a format that is read (JPEG, PNG, TIFF, WebP, ...)",
        ),
    ]
    check_accounts(split)


def test_boxes_lie_in_the_rotated_image(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, {"a": ROW})
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.new("RGB", (80, 60)).save(tmp_path / "images" / "a.jpg", exif=tags)
    (record,) = load_split(dataset, "train").records
    assert record.size == (80, 60)
    assert record.boxes.tolist() == [[22.5, 20, 37.5, 60]]


def test_coco_strays_missing_images_and_wrong_sizes_are_reported(tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "a.jpg", "height": 80, "width": 60},
        {"id": 2, "file_name": "b.jpg", "height": 60, "width": 80},
        {"id": 3, "file_name": "c.jpg"},
    ]
    box = {"category_id": 7, "bbox": [1, 1, 5, 5]}
    annotations = [{"id": n, "image_id": n, **box} for n in (1, 2, 3, 4)]
    dataset = coco(tmp_path, images, annotations)
    (tmp_path / "images" / "c.jpg").unlink()
    split = load_split(dataset, "train")
    assert [(d.location, d.reason, d.action) for d in split.report.decisions] == [
        ("annotation 4", "image_id is not in images", "rejected"),
        ("image", SIZE_DIFFERS, "noted"),
        ("image", "no such file", "rejected"),
        ("annotation 3", IMAGE_LEFT_OUT, "rejected"),
    ]
    assert split.report.decisions[1].value == "stated 60x80, is 80x60"
    assert [record.image_id for record in split.records] == [1, 2]
    check_accounts(split)


def test_voc_with_broken_xml_and_missing_image(tmp_path: Path) -> None:
    good = voc_object("cat", (1, 1, 9, 9))
    dataset = voc(tmp_path, {"a": good, "b": "<object>", "c": good + good, "d": None})
    (tmp_path / "JPEGImages" / "c.jpg").unlink()
    split = load_split(dataset, "train")
    assert [record.image_id for record in split.records] == [0, 3]
    assert (split.report.num_rows, split.report.num_rejected) == (4, 3)
    assert split.report.num_unlabelled == 1
    check_accounts(split)


def test_user_mistakes_are_one_clear_line(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, {"a": ROW})
    with pytest.raises(UserError, match=r"^data\.val is not set: this data set has no val split$"):
        load_split(dataset, "val")
    with pytest.raises(UserError, match=r"^data\.path: .*gone does not exist$"):
        load_split(dataset.model_copy(update={"path": str(tmp_path / "gone")}), "train")
    with pytest.raises(UserError, match=r"^data\.path: .*a\.jpg is not a folder$"):
        load_split(dataset.model_copy(update={"path": f"{tmp_path}/images/a.jpg"}), "train")
    (tmp_path / "images" / "a.jpg").write_text("no image")
    with pytest.raises(UserError, match=r"none of the 1 images can be used, e\.g\. .*a\.jpg: not"):
        load_split(dataset, "train")


def test_second_load_reads_the_cache_and_gives_the_same(tmp_path: Path, reads: list[str]) -> None:
    dataset = yolo(tmp_path, {"a": ROW + "0 nan 1 1 1\n", "b": None, "c": "1 .5 .5 .1 .1\n"})
    first = load_split(dataset, "train")
    second = load_split(dataset, "train")
    assert reads == ["read"]
    assert_same(first, second)
    assert not list((tmp_path / "images").glob("*.npz"))


def change_label(root: Path) -> None:
    path = root / "labels" / "a.txt"
    stamp = path.stat()
    path.write_text(ROW.replace("0.5", "0.4", 1))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))


def change_image(root: Path) -> None:
    write_image(root / "images" / "a.jpg", 30, 40)


@pytest.mark.parametrize(
    "change",
    [
        change_label,
        change_image,
        lambda root: write_image(root / "images" / "new.jpg"),
        lambda root: (root / "images" / "b.jpg").unlink(),
        lambda root: (root / "labels" / "b.txt").unlink(),
        lambda root: (root / "labels" / "orphan.txt").write_text(ROW),
    ],
)
def test_any_change_of_the_files_is_seen(tmp_path: Path, reads: list[str], change: Any) -> None:
    dataset = yolo(tmp_path, {"a": ROW, "b": ROW})
    before = load_split(dataset, "train")
    change(tmp_path)
    after = load_split(dataset, "train")
    assert len(reads) == 2
    assert_same(after, load_split(dataset.model_copy(update={"cache": False}), "train"))
    assert before.fingerprint != after.fingerprint or before.report != after.report


def test_reader_options_and_class_names_are_part_of_the_key(
    tmp_path: Path, reads: list[str]
) -> None:
    dataset = yolo(tmp_path, {"a": ROW, "b": ROW})
    load_split(dataset, "train")
    renamed = load_split(dataset.model_copy(update={"class_names": ("x", "y")}), "train")
    assert renamed.class_names == ("x", "y")
    load_split(dataset.model_copy(update={"val": "images"}), "val")
    assert len(reads) == 3
    load_split(dataset.model_copy(update={"max_rejected": 0.5}), "train")
    assert len(reads) == 3
    text = voc_object("cat", (2, 2, 9, 9))
    boxes = [
        load_split(voc(tmp_path / "v", {"a": text}), "train").records[0].boxes[0, 0],
        load_split(
            voc(tmp_path / "w", {"a": text}).model_copy(
                update={"path": str(tmp_path / "v"), "first_pixel": 0}
            ),
            "train",
        )
        .records[0]
        .boxes[0, 0],
    ]
    assert boxes == [1, 2]


def test_changed_label_does_not_decode_images_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = yolo(tmp_path, {"a": ROW})
    load_split(dataset, "train")
    change_label(tmp_path)
    monkeypatch.setattr(image_facts.image_io, "inspect_image", None)
    load_split(dataset, "train")


def test_another_version_of_the_program_reads_anew(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = yolo(tmp_path, {"a": ROW})
    load_split(dataset, "train")
    monkeypatch.setattr(records, "hash_files", lambda _: "another program")
    load_split(dataset, "train")
    assert len(reads) == 2


def test_damaged_cache_is_made_anew_without_a_word(
    tmp_path: Path, reads: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    dataset = yolo(tmp_path, {"a": ROW})
    first = load_split(dataset, "train")
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:-40])
    assert_same(first, load_split(dataset, "train"))
    assert len(reads) == 2
    assert caplog.text == ""
    load_split(dataset, "train")
    assert len(reads) == 2


def test_cache_can_be_switched_off(tmp_path: Path, reads: list[str]) -> None:
    dataset = yolo(tmp_path, {"a": ROW}, cache=False)
    load_split(dataset, "train")
    load_split(dataset, "train")
    assert len(reads) == 2
    assert not (tmp_path / "cache").exists()


def test_cache_lies_outside_the_data_set(tmp_path: Path) -> None:
    dataset = yolo(tmp_path / "set", {"a": ROW})
    before = sorted((tmp_path / "set").rglob("*"))
    load_split(dataset, "train")
    assert sorted((tmp_path / "set").rglob("*")) == before
    assert IndexCache.of_user().load("nothing", "") is None
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_synthetic_data_is_written_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ensure_written(dataset: SyntheticDataset, **_: object) -> YoloDataset:
        return yolo(Path(dataset.path), {"a": ROW}, class_names=dataset.class_names)

    fake = types.ModuleType("data.synthetic.generate")
    fake.ensure_written = ensure_written  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "data.synthetic.generate", fake)
    dataset = SyntheticDataset(format="synthetic", path=str(tmp_path / "made"))
    split = load_split(dataset, "train")
    assert split.class_names == dataset.class_names
    assert len(split.records) == 1
