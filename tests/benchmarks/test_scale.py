"""The benchmark of scale, at sizes of a few images: every part gives a line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/scale.py", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_parts_are_measured_and_everything_generated_is_removed(tmp_path: Path) -> None:
    file, folder = tmp_path / "figures.json", tmp_path / "generated"
    folder.mkdir()
    options = ["--sizes", "40", "10", "--json", str(file), "--folder", str(folder)]
    done = run("--parts", "cache", "sampler", *options)
    assert done.returncode == 0, done.stderr
    assert "921,664 bytes computed" in done.stdout
    assert "| keys of an epoch, CPU | 100, 400 |" in done.stdout
    figures = json.loads(file.read_text())
    assert list(figures) == ["cache", "sampler"]
    assert all(cost > 0 for part in figures.values() for one in part for cost in one["costs"])
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_one_size_gives_no_line() -> None:
    done = run("--sizes", "500", "500")
    assert done.returncode == 2
    assert "two different numbers of images" in done.stderr
