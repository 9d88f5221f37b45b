"""Zip files of strangers: nothing lands outside, nothing half-done stays."""

import stat
import zipfile
from pathlib import Path

import pytest

from utils.runtime.errors import UserError
from utils.runtime.files import archive as module
from utils.runtime.files.archive import unpack_zip


def make(path: Path, **contents: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, text in contents.items():
            file.writestr(name, text)
    return path


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_leading_folders_are_stripped_and_other_files_stay(tmp_path: Path) -> None:
    target = tmp_path / "set"
    (target / "images").mkdir(parents=True)
    (target / "images" / "mine").write_text("mine")
    (target / "images" / "a").write_text("old")
    archive = make(
        tmp_path / "x.zip", **{"top/images/a": "new", "top/b/c/d": "deep", "top": "gone"}
    )
    unpack_zip(archive, target, strip=1)
    assert files(target) == {"images/mine": "mine", "images/a": "new", "b/c/d": "deep"}
    assert not list(target.glob(".unpacking*"))


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "a/../../evil", "..\\evil", "a\\..\\..\\evil"]
)
def test_names_that_lead_out_are_refused_before_anything_is_written(
    name: str, tmp_path: Path
) -> None:
    archive = make(tmp_path / "x.zip", **{"good": "good", name: "evil"})
    with pytest.raises(UserError, match="leads out"):
        unpack_zip(archive, tmp_path / "in" / "set")
    assert files(tmp_path / "in") == {}
    assert not (tmp_path / "evil").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(entry, "/etc")
    with pytest.raises(UserError, match="leads out"):
        unpack_zip(tmp_path / "x.zip", tmp_path / "set")


def test_damaged_archives_leave_the_folder_as_it_was(tmp_path: Path) -> None:
    archive = make(tmp_path / "x.zip", a="1" * 5000, b="2" * 5000)
    data = bytearray(archive.read_bytes())
    data[60:80] = bytes(20)
    archive.write_bytes(data)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("mine")
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack_zip(archive, tmp_path / "set")
    assert files(tmp_path / "set") == {"mine": "mine"}
    archive.write_bytes(b"no zip at all")
    with pytest.raises(UserError, match="cannot be unpacked"):
        unpack_zip(archive, tmp_path / "set")


def test_what_does_not_fit_on_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SPARE_BYTES", 1 << 60)
    with pytest.raises(UserError, match="free"):
        unpack_zip(make(tmp_path / "x.zip", a="1"), tmp_path / "set")
    assert files(tmp_path / "set") == {}
