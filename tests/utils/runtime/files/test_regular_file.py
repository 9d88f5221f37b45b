"""Files that are none: every reader says so at once."""

import os
import pickle
from pathlib import Path

import pytest

from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import (
    UnreadableFileError,
    is_regular,
    open_regular,
    read_regular,
)


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    path = tmp_path / "x.jpg"
    os.mkfifo(path)
    return path


def test_content_comes_whole_or_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    assert read_regular(path) == b"0123456789"
    assert read_regular(path, first=4) == b"0123"
    with open_regular(path) as file:
        assert file.read() == b"0123456789"


def test_pipes_devices_folders_and_views_are_refused_at_once(tmp_path: Path, fifo: Path) -> None:
    link = tmp_path / "zero.jpg"
    link.symlink_to("/dev/zero")
    cases = {
        fifo: "pipe", link: "device", Path("/dev/random"): "device", tmp_path: "folder",
        Path("/proc/self/maps"): "view of the system", tmp_path / "absent": "No such file",
        Path("/dev/null"): "device",
    }  # fmt: skip
    for path, word in cases.items():
        for read in (read_regular, open_regular):
            with pytest.raises(UnreadableFileError, match=word) as caught:
                read(path)
            assert caught.value.is_missing == (path.name == "absent")
            assert not is_regular(path)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "x" * 5000, "a/" * 3000])
def test_names_that_no_file_can_have_are_one_line(name: str) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        read_regular(name)
    assert len(str(caught.value)) < 400
    assert "\0" not in str(caught.value)


def test_a_file_above_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UnreadableFileError, match="MiB, more than"):
        read_regular(path)


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(UnreadableFileError):
        read_regular(tmp_path / "a")


def test_the_error_travels_between_processes() -> None:
    with pytest.raises(UnreadableFileError) as caught:
        read_regular("absent")
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, UserError)
    assert str(again) == str(caught.value)
