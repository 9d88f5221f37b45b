import errno
import logging
import os
from pathlib import Path

import numpy as np
import pytest

from data.images.cache import store
from data.images.cache.store import KEY_BYTES, ImageCache, entry_path, write_entry
from utils.structures.images import ImageArray

KEY = b"k" * KEY_BYTES
OTHER = b"o" * KEY_BYTES


class Maker:
    """Makes an image and counts how often."""

    def __init__(self, value: int = 7) -> None:
        self.calls = 0
        self._value = value

    def __call__(self) -> ImageArray:
        self.calls += 1
        return np.full((4, 6, 3), self._value, np.uint8)


def test_an_image_is_made_once(tmp_path: Path) -> None:
    make = Maker()
    cache = ImageCache(tmp_path / "new")
    images = [cache.get(KEY, (4, 6), make) for _ in range(3)]
    images.append(ImageCache(tmp_path / "new").get(KEY, (4, 6), make))
    assert make.calls == 1
    assert all(np.array_equal(image, Maker()()) for image in images)
    cache.get(OTHER, (4, 6), make)
    assert make.calls == 2


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    path = Path(entry_path(tmp_path, KEY))
    ImageCache(tmp_path).get(KEY, (4, 6), Maker())
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    make = Maker()
    assert np.array_equal(ImageCache(tmp_path).get(KEY, (4, 6), make), Maker()())
    ImageCache(tmp_path).get(KEY, (4, 6), make)
    assert make.calls == 1


def test_pixels_are_summed_up_once_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks = []
    real = store.read_entry

    def spy(path: str, key: bytes, size: tuple[int, int], *, check: bool) -> ImageArray | None:
        checks.append(check)
        return real(path, key, size, check=check)

    write_entry(entry_path(tmp_path, KEY), KEY, Maker()())
    monkeypatch.setattr(store, "read_entry", spy)
    cache = ImageCache(tmp_path)
    for _ in range(3):
        cache.get(KEY, (4, 6), Maker())
    assert checks == [True, False, False]


def test_keys_above_the_last_are_not_kept(tmp_path: Path) -> None:
    cache, make = ImageCache(tmp_path, last_key=KEY), Maker()
    for key in (KEY, KEY, OTHER, OTHER):
        cache.get(key, (4, 6), make)
    assert make.calls == 3
    assert not os.path.exists(entry_path(tmp_path, OTHER))


def test_a_full_disk_is_said_once_and_never_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts = []

    def full(path: str, key: bytes, image: ImageArray) -> None:
        attempts.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    cache = ImageCache(tmp_path)
    cache.get(KEY, (4, 6), Maker(1))
    monkeypatch.setattr(store, "write_entry", full)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert np.array_equal(cache.get(OTHER, (4, 6), Maker()), Maker()())
    assert len(attempts) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "no more decoded images are cached, so loading stays slower: "
        "[Errno 28] No space left on device"
    ]
    make = Maker()
    cache.get(KEY, (4, 6), make)
    assert make.calls == 0


def test_workers_share_the_knowledge_of_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = ImageCache(tmp_path / "file")
    child = os.fork()
    if child == 0:
        cache.get(KEY, (4, 6), Maker())
        os._exit(0)
    os.waitpid(child, 0)

    def refuse(path: str, key: bytes, image: ImageArray) -> None:
        raise AssertionError("the disk was tried again")

    monkeypatch.setattr(store, "write_entry", refuse)
    assert np.array_equal(cache.get(KEY, (4, 6), Maker()), Maker()())
