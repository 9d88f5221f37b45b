import json
import os
from pathlib import Path

import pytest

from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_atomically, write_json


def test_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_disk_before_it_gets_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (events.append("fsync"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda *a: (events.append("replace"), replace(*a)))
    write_atomically(tmp_path / "file", b"x")
    assert events == ["fsync", "replace", "fsync"]  # the file, the name, the folder


def test_a_folder_in_the_way_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*file: Is a directory"):
        write_atomically(tmp_path / "file", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_json_is_strict_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"name": "Größe", "value": 0.1})
    assert json.loads(path.read_text()) == {"name": "Größe", "value": 0.1}
    assert "Größe" in path.read_text()
    with pytest.raises(ValueError, match="Out of range"):
        write_json(path, {"value": float("nan")})
    assert json.loads(path.read_text())["value"] == 0.1
