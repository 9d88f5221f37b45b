import errno
import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.images.cache.store import KEY_BYTES, entry_bytes, read_entry, write_entry
from utils.structures.images import ImageArray

KEY = bytes(range(KEY_BYTES))


def picture(height: int, width: int, seed: int = 0) -> ImageArray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 99))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, seed: int
) -> None:
    path = str(tmp_path_factory.mktemp("entry") / "new" / "x")
    image = picture(height, width, seed)
    write_entry(path, KEY, image[:, ::-1])
    found = read_entry(path, KEY, (height, width))
    assert found is not None
    assert np.array_equal(found, image[:, ::-1])
    assert os.path.getsize(path) == entry_bytes((height, width))
    assert os.listdir(os.path.dirname(path)) == ["x"]


def test_pixels_read_cannot_be_written_to(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    write_entry(path, KEY, picture(4, 5))
    found = read_entry(path, KEY, (4, 5))
    assert found is not None
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_any_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_entry(str(path), KEY, picture(3, 4))
    whole = path.read_bytes()
    padding = range(36, 64)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        is_refused = read_entry(str(path), KEY, (3, 4)) is None
        assert is_refused == (position not in padding)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 99])
def test_a_torn_file_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x"
    write_entry(str(path), KEY, picture(3, 4))
    whole = path.read_bytes()
    path.write_bytes(whole[:length])
    assert read_entry(str(path), KEY, (3, 4)) is None
    path.write_bytes(whole[:length] + bytes(len(whole) - length))
    assert read_entry(str(path), KEY, (3, 4)) is None
    path.write_bytes(whole + b"x")
    assert read_entry(str(path), KEY, (3, 4), check=False) is None


def test_another_image_is_refused_even_unchecked(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    assert read_entry(path, KEY, (4, 6)) is None
    assert read_entry(str(tmp_path), KEY, (4, 6)) is None
    write_entry(path, KEY, picture(4, 6))
    assert read_entry(path, KEY, (4, 6), check=False) is not None
    assert read_entry(path, KEY[::-1], (4, 6), check=False) is None
    assert read_entry(path, KEY, (6, 4), check=False) is None


def test_an_image_outlives_its_replaced_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    write_entry(path, KEY, picture(4, 6, seed=1))
    old = read_entry(path, KEY, (4, 6))
    write_entry(path, KEY, picture(4, 6, seed=2))
    os.unlink(path)
    assert old is not None
    assert np.array_equal(old, picture(4, 6, seed=1))


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def fill_up(handle: int, part: memoryview) -> int:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(len(part))
        return 10

    monkeypatch.setattr(os, "write", fill_up)
    with pytest.raises(OSError, match="No space"):
        write_entry(str(tmp_path / "x"), KEY, picture(4, 6))
    assert list(tmp_path.iterdir()) == []


def test_partial_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_write = os.write
    monkeypatch.setattr(os, "write", lambda handle, part: whole_write(handle, part[:7]))
    write_entry(str(tmp_path / "x"), KEY, picture(4, 6))
    found = read_entry(str(tmp_path / "x"), KEY, (4, 6))
    assert found is not None
    assert np.array_equal(found, picture(4, 6))


def _write_often(path: str, seed: int) -> None:
    for _ in range(30):
        write_entry(path, KEY, picture(64, 64, seed))


def test_writers_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    """A reader beside two writers sees nothing, one image or the other, never a mixture."""
    path = str(tmp_path / "x")
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_often, args=(path, seed)) for seed in (1, 2)]
    for writer in writers:
        writer.start()
    wanted = [picture(64, 64, seed) for seed in (1, 2)]
    while any(writer.is_alive() for writer in writers):
        image = read_entry(path, KEY, (64, 64), check=False)
        assert image is None or any(np.array_equal(image, one) for one in wanted)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert read_entry(path, KEY, (64, 64)) is not None
