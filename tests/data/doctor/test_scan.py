"""What is seen of image files, and that it is kept until a file changes."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data.doctor import scan as module
from data.doctor.scan import scan_image, scan_images
from data.index_cache import IndexCache


def write(path: Path, seed: int = 0, **options: object) -> str:
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), np.uint8)
    pixels = cv2.resize(coarse, (80, 60), interpolation=cv2.INTER_LINEAR)
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return str(path)


def test_a_thumbnail_is_the_image_upright_and_small(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    plain = scan_image(write(tmp_path / "a.png"))
    turned = scan_image(write(tmp_path / "b.jpg", exif=exif, quality=98))
    assert plain.orientation == 1
    assert turned.orientation == 3
    difference = plain.thumbnail.astype(int) - turned.thumbnail[::-1, ::-1]
    assert abs(difference).max() < 6
    grey = np.asarray(Image.open(tmp_path / "a.png").convert("L"), float)
    assert plain.thumbnail.mean() == pytest.approx(grey.mean(), abs=1)


def test_equal_bytes_have_equal_digests_whatever_their_name(tmp_path: Path) -> None:
    one = scan_image(write(tmp_path / "a.jpg"))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.jpg").read_bytes())
    other = scan_image(str(tmp_path / "b.png"))
    assert one.digest == other.digest
    assert (other.format, other.mode, other.num_frames) == ("JPEG", "RGB", 1)
    assert scan_image(write(tmp_path / "c.jpg", seed=1)).digest != one.digest


def test_the_contrast_of_one_colour_is_nothing(tmp_path: Path) -> None:
    red = np.zeros((40, 40, 3), np.uint8)
    red[..., 2] = 200
    cv2.imwrite(str(tmp_path / "red.png"), red)
    assert scan_image(str(tmp_path / "red.png")).contrast == 0
    assert scan_image(write(tmp_path / "a.png")).contrast > 20


def test_files_are_looked_at_once_until_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write(tmp_path / f"{number}.jpg", seed=number) for number in range(5)]
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    paths.append(str(tmp_path / "broken.jpg"))
    cache = IndexCache(tmp_path / "cache")
    first = scan_images(paths, cache=cache, name="x")
    assert list(first) == paths[:5]
    looked_at: list[str] = []
    real = module._scan_safely

    def counting(path: str) -> module.ImageScan | None:
        looked_at.append(path)
        return real(path)

    monkeypatch.setattr(module, "_scan_safely", counting)
    again = scan_images(paths, cache=cache, name="x")
    assert looked_at == paths[5:]
    for path in paths[:5]:
        assert again[path].thumbnail.tolist() == first[path].thumbnail.tolist()
        assert again[path]._replace(thumbnail=0) == first[path]._replace(thumbnail=0)  # type: ignore[arg-type]
    write(tmp_path / "2.jpg", seed=99)
    os.utime(paths[2], ns=(1, 1))
    third = scan_images(paths, cache=cache, name="x")
    assert looked_at[1:] == [paths[2], paths[5]]
    assert third[paths[2]].digest != first[paths[2]].digest


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg")
    cache = IndexCache(tmp_path / "cache")
    first = scan_images([path], cache=cache, name="x")
    (tmp_path / "cache" / "x.npz").write_bytes(b"damaged")
    assert scan_images([path], cache=cache, name="x")[path].digest == first[path].digest
