import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.images.cache import ImageCache
from data.images.io import jpeg_reduction, read_image
from data.images.letterbox import evaluation_letterbox
from data.images.pixels import ShrinkingReader, read_record, shrunk_size
from utils.runtime.errors import UserError
from utils.structures.images import ImageArray, Record


def record(path: Path, size: tuple[int, int]) -> Record:
    return Record(
        path=str(path),
        image_id=0,
        size=size,
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
        ignore=np.zeros(0, np.bool_),
        area=np.zeros(0, np.float32),
    )


def photo(height: int, width: int, seed: int = 0) -> ImageArray:
    """Smooth colours, as JPEG likes them."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)  # type: ignore[return-value]


def saved(folder: Path, height: int, width: int, suffix: str = "jpg", seed: int = 0) -> Record:
    path = folder / f"{height}x{width}-{seed}.{suffix}"
    cv2.imwrite(str(path), photo(height, width, seed)[..., ::-1])
    return record(path, (height, width))


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), side=st.integers(1, 1500))
def test_images_shrink_to_the_side_and_never_grow(height: int, width: int, side: int) -> None:
    size = shrunk_size((height, width), side)
    if max(height, width) <= side:
        assert size == (height, width)
    else:
        assert side - 1 <= max(size) <= side
        assert min(size) == max(1, int(min(height, width) * (side / max(height, width))))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("exact", [True, False])
def test_small_images_are_whole(tmp_path: Path, suffix: str, exact: bool) -> None:
    source = saved(tmp_path, 40, 60, suffix)
    pixels = ShrinkingReader(60, exact=exact)(source)
    assert np.array_equal(pixels, read_image(source.path))


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (331, 517), (97, 31), (64, 64)])
@pytest.mark.parametrize("rectangular", [True, False])
def test_evaluation_sees_the_letterbox_s_own_pixels(
    tmp_path: Path, size: tuple[int, int], rectangular: bool
) -> None:
    source = saved(tmp_path, *size)
    for side in (32, 64, 96, 320, 640):
        frame = evaluation_letterbox(size, image_size=side, stride=32, rectangular=rectangular)
        early = ShrinkingReader(side, exact=True)(source)
        assert np.array_equal(frame.apply(early), frame.apply(read_record(source)))


def test_training_pixels_are_area_averages(tmp_path: Path) -> None:
    source = saved(tmp_path, 300, 400, "png")
    pixels = ShrinkingReader(100, exact=False)(source)
    blocks = read_image(source.path).reshape(75, 4, 100, 4, 3).mean(axis=(1, 3))
    assert np.abs(pixels - blocks).max() <= 0.5


@pytest.mark.parametrize("size", [(1200, 1600), (600, 1000), (801, 1201), (1600, 400), (1111, 977)])
def test_a_reduced_jpeg_is_nearly_the_exact_image(tmp_path: Path, size: tuple[int, int]) -> None:
    source = saved(tmp_path, *size)
    reduced = ShrinkingReader(150, exact=False)(source)
    exact = ShrinkingReader(150, exact=True)(source)
    assert reduced.shape == exact.shape
    difference = np.abs(reduced.astype(int) - exact)
    # A quarter of a pixel of shift, in colours that change by some levels a pixel.
    assert difference.max() <= 6
    assert difference.mean() < 1


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    share=st.floats(0.01, 1),
)
def test_the_reduction_keeps_enough_pixels_in_place(height: int, width: int, share: float) -> None:
    wanted = (max(1, int(height * share)), max(1, int(width * share)))
    factor = jpeg_reduction((height, width), wanted)
    for side, goal in zip((height, width), wanted, strict=True):
        reduced = -(-side // factor)
        assert reduced >= goal
        # Where the far side of the image is in an image stretched over all reduced pixels.
        assert goal - goal * side / (reduced * factor) <= 0.25


@pytest.mark.parametrize(
    ("size", "wanted", "factor"),
    [
        ((480, 640), (480, 640), 1),
        ((480, 640), (240, 320), 2),
        ((480, 640), (241, 320), 1),
        ((480, 640), (60, 80), 8),
        ((481, 640), (240, 320), 1),  # 241 rows stand for 482: half a wanted pixel too many
        ((3000, 4000), (480, 640), 4),
        ((1, 8000), (1, 640), 1),
    ],
)
def test_reductions_by_pencil(size: tuple[int, int], wanted: tuple[int, int], factor: int) -> None:
    assert jpeg_reduction(size, wanted) == factor


def test_a_turned_jpeg_is_reduced_as_shown(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(400, 800)).save(path, exif=exif, quality=95)
    source = record(path, (800, 400))
    reduced = ShrinkingReader(200, exact=False)(source)
    exact = ShrinkingReader(200, exact=True)(source)
    assert reduced.shape == (200, 100, 3)
    assert np.abs(reduced.astype(int) - exact).max() <= 6


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("side", [20, 100])
@pytest.mark.parametrize("has_cache", [True, False])
def test_a_changed_size_is_the_users_mistake(
    tmp_path: Path, exact: bool, side: int, has_cache: bool
) -> None:
    source = saved(tmp_path, 80, 100)
    cache = ImageCache(tmp_path / "cache") if has_cache else None
    reader = ShrinkingReader(side, exact=exact, cache=cache)
    reader(source)
    cv2.imwrite(source.path, photo(81, 100))
    with pytest.raises(UserError, match=r"is 81 x 100 pixels .* but was 80 x 100"):
        reader(source)
    Path(source.path).unlink()
    with pytest.raises(UserError, match="no such file"):
        reader(source)


@pytest.mark.parametrize("exact", [True, False])
def test_the_cache_changes_no_pixel(tmp_path: Path, exact: bool) -> None:
    sources = [
        saved(tmp_path, *size, suffix)
        for size in ((30, 40), (200, 300), (640, 480), (331, 517))
        for suffix in ("jpg", "png")
    ]
    plain = ShrinkingReader(64, exact=exact)
    for _ in ("cold", "warm"):
        cached = ShrinkingReader(64, exact=exact, cache=ImageCache(tmp_path / "cache"))
        for source in sources:
            assert np.array_equal(cached(source), plain(source))
    assert len(list((tmp_path / "cache").rglob("*.pixels"))) == len(sources)


def test_the_key_tells_everything_apart(tmp_path: Path) -> None:
    """Exact and reduced pixels, sizes, files and their versions share nothing unless equal."""
    source = saved(tmp_path, 480, 640)

    def key(side: int, exact: bool = True) -> bytes:
        (found,) = ShrinkingReader(side, exact=exact).wanted([source])
        return found

    assert key(100) != key(100, exact=False)
    assert key(100) != key(101)
    assert key(640) == key(800), "nothing is shrunk"
    assert key(640, exact=False) == key(640), "nothing is reduced"
    before = key(100)
    os.utime(source.path, ns=(1, 1))
    assert key(100) != before
    other = saved(tmp_path, 480, 640, seed=1)
    os.utime(other.path, ns=(1, 1))
    assert set(ShrinkingReader(100, exact=True).wanted([other])) != {key(100)}


def test_bytes_wanted_are_bytes_taken(tmp_path: Path) -> None:
    sources = [saved(tmp_path, 200, 300), saved(tmp_path, 20, 30), saved(tmp_path, 77, 64)]
    reader = ShrinkingReader(64, exact=False, cache=ImageCache(tmp_path / "cache"))
    for source in sources:
        reader(source)
    taken = [path.stat().st_size for path in (tmp_path / "cache").rglob("*.pixels")]
    assert sorted(taken) == sorted(reader.wanted(sources).values())
