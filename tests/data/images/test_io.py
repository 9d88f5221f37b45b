import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

from data.images import io as image_io
from data.images.io import (
    DEPTH_REMARK,
    ImageError,
    check_image,
    inspect_image,
    read_image,
    read_image_size,
    read_reduced_image,
)

H, W = 37, 53


def picture(seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth colours, different in every corner, so that each rotation gives another image."""
    noise = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (W, H)), np.uint8)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path, **options)
    return path


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_lossless_formats_give_back_the_pixels(tmp_path: Path, suffix: str) -> None:
    pixels = picture()
    options = {"lossless": True} if suffix == "webp" else {}
    path = save(tmp_path / f"x.{suffix}", Image.fromarray(pixels), **options)
    image = read_image(path)
    np.testing.assert_array_equal(image, pixels)
    assert image.flags.c_contiguous
    assert image.dtype == np.uint8
    assert read_image_size(path) == (H, W)
    assert check_image(path) is None


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100, "subsampling": 0}])
def test_jpeg_equals_pillows_decoding(tmp_path: Path, mode: str, options: dict[str, Any]) -> None:
    path = save(tmp_path / "x.jpg", Image.fromarray(picture()).convert(mode), **options)
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)
    assert inspect_image(path) == ((H, W), None, "")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_rotation_is_that_of_a_viewer_for_pixels_and_size(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    source = Image.fromarray(picture())
    path = save(tmp_path / f"x.{suffix}", source, exif=exif(orientation))
    with Image.open(path) as opened:
        opened.load()
        expected = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)
    assert read_image_size(path) == expected.shape[:2] == ((W, H) if orientation > 4 else (H, W))
    assert inspect_image(path) == (expected.shape[:2], None, "")


def test_rotation_six_turns_clockwise(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255
    path = save(tmp_path / "x.webp", Image.fromarray(pixels), exif=exif(6), lossless=True)
    assert read_image(path)[0, 1].tolist() == [255, 255, 255]


def test_grey_jpeg_with_rotation(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", Image.fromarray(picture()).convert("L"), exif=exif(8))
    assert read_image(path).shape == (W, H, 3)


def test_size_is_found_behind_a_long_header(tmp_path: Path) -> None:
    tags = exif(6)
    tags[0x9286] = "x" * 60_000
    path = save(
        tmp_path / "x.jpg", Image.fromarray(picture()), exif=tags, icc_profile=b"i" * 99_000
    )
    assert read_image_size(path) == (W, H) == read_image(path).shape[:2]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_counts_as_upright(tmp_path: Path) -> None:
    data = io.BytesIO()
    Image.fromarray(picture()).save(data, "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff")
    path = tmp_path / "x.jpg"
    path.write_bytes(data.getvalue())
    assert read_image(path).shape == (H, W, 3)
    assert read_image_size(path) == (H, W)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_grey_keeps_full_scale(tmp_path: Path, suffix: str) -> None:
    grey = np.array([[0, 255, 256], [32768, 65279, 65535]], np.uint16)
    path = tmp_path / f"x.{suffix}"
    assert cv2.imwrite(str(path), grey)
    image = read_image(path)
    assert image[..., 0].tolist() == [[0, 0, 1], [128, 254, 255]]
    assert (image == image[..., :1]).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bit_colour_keeps_full_scale(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (H, W, 3)).astype(np.uint16)
    path = tmp_path / f"x.{suffix}"
    assert cv2.imwrite(str(path), pixels[..., ::-1])
    np.testing.assert_array_equal(read_image(path), (pixels >> 8).astype(np.uint8))


LOW = np.array([[0, 1, 100], [200, 254, 255]], np.uint16)
"""Values of 8 bits in a file of 16, as microscopes and thermal cameras write them."""


def deep_file(path: Path, values: np.ndarray, channels: int) -> Path:
    pixels = values if channels == 1 else np.repeat(values[:, :, None], channels, axis=2)
    if channels == 4:
        pixels[..., 3] = 65535
    assert cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("shift", "depth", "expected"),
    [
        (0, None, [[0, 1, 100], [200, 254, 255]]),  # 8 bits used: not black
        (2, None, [[0, 1, 100], [200, 254, 255]]),
        (4, 12, [[0, 1, 100], [200, 254, 255]]),
        (0, 12, [[0, 0, 6], [12, 15, 15]]),  # a dark image of a camera of 12 bits stays dark
        (0, 16, [[0, 0, 0], [0, 0, 0]]),
        (8, 16, [[0, 1, 100], [200, 254, 255]]),
        (1, 8, [[0, 2, 200], [255, 255, 255]]),  # brighter than stated is white
    ],
)
def test_sixteen_bit_images_that_use_fewer_bits(
    suffix: str,
    channels: int,
    shift: int,
    depth: int | None,
    expected: list[list[int]],
    tmp_path: Path,
) -> None:
    path = deep_file(tmp_path / f"x.{suffix}", LOW << shift, channels)
    image = read_image(path, depth)
    assert image[..., 0].tolist() == expected
    assert (image == image[..., :1]).all()
    reduced, size = read_reduced_image(path, (1, 1), depth)
    assert size == (2, 3)
    np.testing.assert_array_equal(reduced, image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("shift", "bits"), [(0, 8), (2, 10), (4, 12), (6, 14), (8, None)])
def test_unused_bits_are_remarked(
    channels: int, shift: int, bits: int | None, tmp_path: Path
) -> None:
    remark = inspect_image(deep_file(tmp_path / "x.png", LOW << shift, channels)).remark
    assert remark == ("" if bits is None else DEPTH_REMARK.format(bits=bits))


def test_deep_colour_keeps_its_channels_rotation_and_alpha(tmp_path: Path) -> None:
    colour = np.zeros((2, 3, 3), np.uint16)
    colour[0, 0] = (10, 20, 250)  # red of the left upper corner
    image = Image.fromarray(np.zeros((2, 3, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    encoded = cv2.imencode(".png", colour[..., ::-1])[1].tobytes()
    plain = io.BytesIO()
    image.save(plain, "PNG", exif=exif)
    chunk = plain.getvalue()
    start = chunk.index(b"eXIf") - 4
    length = int.from_bytes(chunk[start : start + 4], "big") + 12
    path = tmp_path / "x.png"
    path.write_bytes(encoded[:33] + chunk[start : start + length] + encoded[33:])
    turned = read_image(path)
    assert turned.shape == (3, 2, 3)
    assert turned[0, 1].tolist() == [10, 20, 250]
    alpha = np.full((1, 2, 4), 200, np.uint16)
    alpha[0, :, 3] = (0, 65535)
    assert cv2.imwrite(str(path), alpha)
    assert read_image(path)[0, :, 0].tolist() == [255, 200]


def test_transparent_pixels_lie_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 3] = (0, 255, 51)
    path = save(tmp_path / "x.png", Image.fromarray(rgba, "RGBA"))
    assert read_image(path)[0, :, 0].tolist() == [255, 0, 204]


@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA"])
def test_other_png_modes_equal_pillow(tmp_path: Path, mode: str) -> None:
    source = Image.fromarray(picture()).convert(mode)
    path = save(tmp_path / "x.png", source)
    np.testing.assert_array_equal(read_image(path), np.asarray(source.convert("RGB")))
    assert read_image_size(path) == (H, W)


def test_palette_with_transparent_entry_lies_over_white(tmp_path: Path) -> None:
    source = Image.new("P", (2, 1))
    source.putpalette([10, 20, 30, 40, 50, 60])
    source.putpixel((1, 0), 1)
    path = save(tmp_path / "x.png", source, transparency=1)
    assert read_image(path).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_transparent_colour_of_an_rgb_png_lies_over_white(tmp_path: Path) -> None:
    source = Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8))
    path = save(tmp_path / "x.png", source, transparency=(4, 5, 6))
    assert read_image(path).tolist() == [[[1, 2, 3], [255, 255, 255]]]


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", Image.fromarray(picture()).convert("CMYK"), quality=100)
    assert np.abs(read_image(path).astype(int) - picture()).mean() < 3


def test_fast_and_slow_decoders_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x.jpg", Image.fromarray(picture()), exif=exif(5))
    fast = read_image(path)
    monkeypatch.setattr(image_io.cv2, "imdecode", lambda *_: None)
    np.testing.assert_array_equal(read_image(path), fast)


def test_plain_images_take_the_fast_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("slow path")

    paths = [save(tmp_path / name, Image.fromarray(picture())) for name in ("x.jpg", "x.png")]
    monkeypatch.setattr(image_io, "_read_with_pillow", refuse)
    for path in paths:
        assert read_image(path).shape == (H, W, 3)


def test_one_pixel(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.new("RGB", (1, 1), "red"))
    assert read_image(path).tolist() == [[[255, 0, 0]]]
    assert inspect_image(path) == ((1, 1), None, "")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tiff", "webp"])
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.98])
def test_truncated_file_is_told(tmp_path: Path, suffix: str, keep: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (H, W, 3), dtype=np.uint8)
    path = save(tmp_path / f"x.{suffix}", Image.fromarray(noise))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    assert "truncated" in (check_image(path) or "") or suffix == "webp"
    assert check_image(path) is not None
    with pytest.raises(ImageError, match=f"{path}: "):
        image_io._read_with_pillow(path, path.read_bytes())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0 0.5 0.5 0.1 0.1\n", "not an image in a format that is read"),
        (b"", "the file is empty"),
        (b"\xff\xd8\xff\xe0\x00\x10", "image"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "not an image in a format"),
    ],
)
def test_what_is_no_image_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    assert message in (check_image(path) or "")
    with pytest.raises(ImageError, match=message):
        read_image(path)
    with pytest.raises(ImageError, match=message):
        read_image_size(path)


def test_missing_file_and_folder_are_told(tmp_path: Path) -> None:
    assert check_image(tmp_path / "x.jpg") == "no such file"
    assert "cannot be opened" in (check_image(tmp_path) or "")
    assert inspect_image(tmp_path / "x.jpg") == ((0, 0), "no such file", "")


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tiff"
    assert cv2.imwrite(str(path), np.random.default_rng(0).random((5, 5)).astype(np.float32))
    assert "32-bit pixels" in (check_image(path) or "")


def test_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x.bmp", Image.fromarray(picture()))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert check_image(path) == "more than 200 pixels"


def test_reading_leaves_the_file_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "x.jpg", Image.fromarray(picture()))
    path.write_bytes(path.read_bytes()[:-50])
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    check_image(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_random_bytes_never_crash(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "x.jpg"
    for suffix in ("jpg", "png", "tiff", "webp", "bmp"):
        data = save(tmp_path / f"y.{suffix}", Image.fromarray(picture())).read_bytes()
        for _ in range(60):
            damaged = bytearray(data)
            for index in rng.integers(0, min(len(data), 200), 4):
                damaged[index] = rng.integers(256)
            path.write_bytes(damaged)
            size, fault, _ = inspect_image(path)
            assert fault or size == read_image_size(path) == read_image(path).shape[:2]
