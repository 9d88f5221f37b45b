"""Boxes of images that are rotated by their EXIF data, where they count in the stored pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.schema.data import YoloDataset
from data.formats.rows import RawImage, RawRow
from data.formats.stored_frame import in_shown_frame, turn_box
from data.images.io import read_image, read_orientation
from data.records.load import load_split

STORED = (40, 64)
BOX = (8.0, 4.0, 30.0, 16.0)
ORIENTATIONS = range(1, 9)


def save_rotated(path: Path, orientation: int) -> None:
    """Write a black image whose EXIF data turns it, with BOX in white."""
    pixels = np.zeros((*STORED, 3), np.uint8)
    x1, y1, x2, y2 = map(int, BOX)
    pixels[y1:y2, x1:x2] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = io.BytesIO()
    suffix = path.suffix.lstrip(".").replace("jpg", "jpeg")
    Image.fromarray(pixels).save(content, suffix, exif=exif, quality=95)
    path.write_bytes(content.getvalue())


def white_box(path: Path) -> tuple[float, ...]:
    rows, columns = np.nonzero(read_image(path)[..., 0] > 127)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_box_turns_with_the_pixels(orientation: int, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    save_rotated(path, orientation)
    assert read_orientation(path) == orientation
    np.testing.assert_allclose(turn_box(BOX, STORED, orientation), white_box(path), atol=1)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_labels_in_the_stored_frame(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "images" / "a.jpg"
    path.parent.mkdir()
    save_rotated(path, orientation)
    height, width = STORED
    x1, y1, x2, y2 = BOX
    row = f"0 {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} "
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text(f"{row}{(y2 - y1) / height}\n")
    dataset = YoloDataset(
        path=str(tmp_path), train="images", class_names=("a",), cache=False, frame="stored"
    )
    (record,) = load_split(dataset, "train").records
    np.testing.assert_allclose(record.boxes[0], white_box(path), atol=1)
    shown = load_split(dataset.model_copy(update={"frame": "shown"}), "train").records[0].boxes
    is_same = bool(np.abs(shown[0] - record.boxes[0]).max() < 1)
    assert is_same == (orientation == 1)


@pytest.mark.parametrize("stated", [None, STORED, (20, 32)])
def test_a_stated_size_turns_too(stated: tuple[int, int] | None) -> None:
    row = RawRow("line 1", "", box=(1.0, 2.0, 5.0, 8.0))
    broken = RawRow("line 2", "", fault="x")
    image = RawImage(path="a", image_id=0, rows=(row, broken), label_file="l", stated_size=stated)
    (turned,) = in_shown_frame([image], {"a": (64, 40)}, lambda _: 6)
    height = (stated or STORED)[0]
    assert turned.stated_size == (stated and (stated[1], stated[0]))
    assert turned.rows[0].box == (height - 8.0, 1.0, height - 2.0, 5.0)
    assert turned.rows[1] == broken


def test_images_that_cannot_be_used_are_not_opened() -> None:
    image = RawImage(path="gone", image_id=0, rows=(RawRow("line 1", ""),), label_file="l")
    assert in_shown_frame([image], {}) == [image]
