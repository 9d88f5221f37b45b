"""What is published is what was found, small, and says nothing of the machine."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from commands.compare.publication import fitted, publish
from commands.compare.run import report
from tests.utils.comparison.stored_runs import write_comparison
from utils.runtime.errors import UserError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    paths = [str(root / f"{number}.png") for number in range(6)]
    rng = np.random.default_rng(0)
    for path in paths:
        cv2.imwrite(path, rng.integers(0, 255, (200, 300, 3), dtype=np.uint8))
    qualities = {"bce": 0.5, "focal": 0.9}
    made = write_comparison(root / "mine", qualities=qualities, images=6, paths=paths)
    report(made)
    return made


@pytest.mark.slow
def test_what_fits_is_copied_as_it_is(folder: Path, tmp_path: Path) -> None:
    files = publish(folder, tmp_path / "docs" / "x", most_kib=100_000, pictures=True)
    assert [path.name for path in files] == ["comparison.json", "report.html", "README.md"]
    for path in files[:2]:
        assert path.read_bytes() == (folder / path.name).read_bytes()
    text = files[2].read_text(encoding="utf-8")
    content = json.loads(files[0].read_text(encoding="utf-8"))
    focal = content["arms"]["focal"]
    assert text.startswith(f"# mine\n\n{content['verdict']}")
    assert f"| {focal['delta']:+.2f} |" in text
    assert f"**{focal['verdict']}**" in text
    assert "Pictures are left out" not in text


def test_pictures_stay_out_unless_asked_for(folder: Path, tmp_path: Path) -> None:
    assert "<img" in (folder / "report.html").read_text(encoding="utf-8")
    _, page, _ = publish(folder, tmp_path / "x", most_kib=100_000)
    assert "data:image" not in page.read_text(encoding="utf-8")


def test_pictures_go_first_the_last_ones_before_the_others(folder: Path, tmp_path: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    captions = re.findall(r'alt="([^"]*)"', text)
    assert len(captions) == 6
    some = fitted(text, len(text.encode()) - 1)
    assert re.findall(r'alt="([^"]*)"', some) == captions[:5]
    without = len(fitted(text, 0).encode())
    files = publish(folder, tmp_path / "x", most_kib=without // 1024 + 1, pictures=True)
    page = files[1].read_text(encoding="utf-8")
    assert "<img" not in page
    assert "Left out of this copy" in page
    assert "Pictures are left out" in files[2].read_text(encoding="utf-8")
    with pytest.raises(UserError, match="more than 1, without pictures"):
        publish(folder, tmp_path / "y", most_kib=1)


def test_places_of_this_machine_are_not_published(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("comparison.json", "report.html"):
        text = (folder / name).read_text(encoding="utf-8")
        (copy / name).write_text(text.replace("focal", "/home/me/focal"), encoding="utf-8")
    with pytest.raises(UserError, match="/home/me/focal"):
        publish(copy, tmp_path / "out", most_kib=100_000)
    assert not (tmp_path / "out").exists()


def test_a_result_of_an_older_version_is_told(folder: Path, tmp_path: Path) -> None:
    for name in ("comparison.json", "report.html"):
        text = (folder / name).read_text(encoding="utf-8").replace('"cautions"', '"other"')
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="of an older version"):
        publish(tmp_path, tmp_path / "out", most_kib=100_000)


def test_an_unfinished_comparison_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run compare\.py report"):
        publish(tmp_path, tmp_path / "out", most_kib=10)
