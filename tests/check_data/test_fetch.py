"""Data sets by name, from a server on loopback; the shipped catalogue is well-formed."""

import hashlib
import io
import zipfile
from pathlib import Path

import pytest
import yaml

from commands.check_data.cli import CheckCommand
from commands.check_data.fetch import fetch_data, list_public_data
from configs.errors import ConfigError
from configs.reading.public_data import read_catalogue
from tests.utils.runtime.file_server import Behaviour, serve
from utils.runtime.errors import UserError


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("set-abc/images/a.jpg", "pixels")
        file.writestr("set-abc/labels/a.txt", "0 0.5 0.5 0.1 0.1")
    return buffer.getvalue()


def catalogue(folder: Path, address: str, content: bytes, **changes: object) -> Path:
    file = {
        "urls": [f"{address}/one.zip", f"{address}/two.zip"],
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "about_mb": 1,
        "into": "cells",
        "strip": 1,
        "gives": "cells/images",
    }
    entry = {"title": "Cells", "images": 1, "licence": "MIT", "source": "https://example.org"}
    path = folder / "catalogue.yaml"
    path.write_text(yaml.safe_dump({"cells": {**entry, "files": [{**file, **changes}]}}))
    return path


def test_a_set_is_fetched_unpacked_and_not_fetched_again(tmp_path: Path) -> None:
    content = archive()
    with serve(Behaviour(content=content, errors={"/one.zip": [404]})) as server:
        names = catalogue(tmp_path, server.address, content)
        command = CheckCommand(get="cells", into=tmp_path / "data")
        lines = fetch_data(command, names)
        assert (tmp_path / "data/cells/images/a.jpg").read_text() == "pixels"
        assert sorted(p.name for p in (tmp_path / "data/cells").iterdir()) == ["images", "labels"]
        assert any("FOCALDET_DATASETS" in line for line in lines)
        asked = len(server.behaviour.seen)
        fetch_data(command, names)
        assert len(server.behaviour.seen) == asked == 2


def test_a_wrong_file_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with serve(Behaviour(content=archive()[:-1] + b"x")) as server:
        names = catalogue(tmp_path, server.address, archive())
        with pytest.raises(UserError, match="SHA-256"):
            fetch_data(CheckCommand(get="cells", into=tmp_path / "data"), names)
    assert list((tmp_path / "data/cells").iterdir()) == []


def test_an_archive_of_something_else_is_told(tmp_path: Path) -> None:
    content = archive()
    with serve(Behaviour(content=content)) as server:
        names = catalogue(tmp_path, server.address, content, gives="cells/other")
        with pytest.raises(UserError, match="has no cells/other"):
            fetch_data(CheckCommand(get="cells", into=tmp_path / "data"), names)


def test_unknown_names_get_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'facemask'"):
        fetch_data(CheckCommand(get="facemasks", into=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_shipped_catalogue_states_licence_size_and_addresses() -> None:
    entries = read_catalogue()
    assert {"bccd", "facemask", "coco128", "coco"} <= set(entries)
    for entry in entries.values():
        assert len(entry.licence) >= 3
        for file in entry.files:
            assert all(url.startswith(("https://", "http://")) for url in file.urls)
            # What comes over plain http can be changed on its way: only a checksum tells.
            if any(url.startswith("http://") for url in file.urls):
                assert file.sha256
            if file.bytes:
                assert abs(file.bytes / 1e6 - file.about_mb) < 1
    assert len(list_public_data()) == len(entries)


def test_a_catalogue_with_a_mistake_names_it(tmp_path: Path) -> None:
    names = catalogue(tmp_path, "http://x", b"", sha256="abc")
    with pytest.raises(ConfigError, match=r"cells|files\.0\.sha256"):
        read_catalogue(names)
