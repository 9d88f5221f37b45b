import logging
import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from data.images.cache.room import ABANDONED_AFTER_S, FREE_SHARE, GIB, open_image_cache
from data.images.cache.store import KEY_BYTES, ImageCache, entry_bytes, entry_path, write_entry

SIZE = (10, 20)
BYTES = entry_bytes(SIZE)
Usage = namedtuple("Usage", "total used free")


def keys(count: int, first: int = 0) -> list[bytes]:
    """Keys spread over the whole range, so that a share of it is a share of them."""
    rng = np.random.default_rng(first)
    return [rng.bytes(KEY_BYTES) for _ in range(count)]


def wanted(some: list[bytes]) -> dict[bytes, int]:
    return dict.fromkeys(some, BYTES)


def fill(folder: Path, some: list[bytes], age_s: float = 0.0) -> None:
    for key in some:
        path = entry_path(folder, key)
        write_entry(path, key, np.zeros((*SIZE, 3), np.uint8))
        os.utime(path, (time.time() - age_s,) * 2)


def present(folder: Path, some: list[bytes]) -> int:
    return sum(os.path.exists(entry_path(folder, key)) for key in some)


def is_kept(cache: ImageCache, key: bytes) -> bool:
    cache.get(key, SIZE, lambda: np.zeros((*SIZE, 3), np.uint8))
    return present(cache._folder, [key]) == 1


def open_at(folder: Path, some: list[bytes], entries: float, mode: str = "auto"):  # noqa: ANN201
    """Open with a limit of so many entries."""
    limit_gib = entries * BYTES / GIB
    return open_image_cache(wanted(some), mode=mode, limit_gib=limit_gib, folder=folder)  # type: ignore[arg-type]


def test_auto_keeps_all_or_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    some = keys(20)
    cache = open_at(tmp_path, some, 20.5)
    assert cache is not None
    assert all(is_kept(cache, key) for key in some)
    with caplog.at_level(logging.INFO):
        assert open_at(tmp_path, some, 19.5) is None
    assert "train.cache_limit" in caplog.text
    assert present(tmp_path, some) == 20


def test_disk_keeps_as_many_as_have_room(tmp_path: Path) -> None:
    some = keys(20)
    cache = open_at(tmp_path, some, 12.5, "disk")
    assert cache is not None
    assert sum(is_kept(cache, key) for key in some) == 12
    none = open_at(tmp_path / "other", some, 0.5, "disk")
    assert none is not None
    assert not any(is_kept(none, key) for key in some)


def test_off_does_not_even_look(tmp_path: Path) -> None:
    assert open_at(tmp_path / "new", keys(1), 9, "off") is None
    assert not (tmp_path / "new").exists()


def test_the_longest_unused_give_way(tmp_path: Path) -> None:
    oldest, older, mine = keys(10, 1), keys(10, 2), keys(10, 3)
    fill(tmp_path, oldest, age_s=300)
    fill(tmp_path, older, age_s=200)
    fill(tmp_path, mine[:4], age_s=900)
    open_at(tmp_path, mine, 24.5)
    assert present(tmp_path, mine) == 4
    assert present(tmp_path, older) == 10
    assert present(tmp_path, oldest) == 4
    open_at(tmp_path, older, 24.5)
    assert present(tmp_path, mine) == 4, "wanted a moment ago"


def test_others_stay_while_there_is_room(tmp_path: Path) -> None:
    others, mine = keys(10, 1), keys(10, 2)
    fill(tmp_path, others, age_s=10**7)
    open_at(tmp_path, mine, 20.5)
    assert present(tmp_path, others) == 10


def test_the_disk_is_never_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def free_for(entries: float) -> None:
        usage = Usage(0, 0, int(entries * BYTES / FREE_SHARE))
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    some = keys(20)
    free_for(19.5)
    assert open_at(tmp_path, some, 1000) is None
    cache = open_at(tmp_path, some, 1000, "disk")
    assert cache is not None
    assert sum(is_kept(cache, key) for key in some) == 19
    free_for(1.5)
    assert open_at(tmp_path, some, 1000) is not None, "what is there needs no further room"


def test_others_give_way_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others, mine = keys(10, 1), keys(4, 2)
    fill(tmp_path, others)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 0))
    assert open_at(tmp_path, mine, 1000) is not None
    assert present(tmp_path, others) == 6


def test_leftovers_of_dead_writers_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "ab"
    folder.mkdir()
    for name, age_s in (("dead.tmp", ABANDONED_AFTER_S + 60), ("alive.tmp", 60)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - age_s,) * 2)
    (tmp_path / "foreign").write_bytes(b"x")
    open_at(tmp_path, keys(1), 9)
    assert [path.name for path in folder.iterdir()] == ["alive.tmp"]
    assert (tmp_path / "foreign").exists()


def test_no_images_need_no_room(tmp_path: Path) -> None:
    assert open_at(tmp_path, [], 1) is not None
