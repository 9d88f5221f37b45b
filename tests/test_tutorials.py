"""The shell blocks of every tutorial and the cells of the notebooks run as they stand there."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.forking import python_that_forks

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
TINY = (
    "train.epochs=1 train.image_size=64 train.batch_size=4 train.workers=0 train.threads=1 "
    "train.patience=0"
)
"""What is added to the trainings of a tutorial so that they take seconds."""
TRAINING = r"^(python (?:train\.py|compare\.py .*smoke\.yaml).*)$"
BLOCK = re.compile(r"^```shell\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(page: Path) -> str:
    """Return the commands of a page, trainings made tiny."""
    text = "\n".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    return re.sub(TRAINING, rf"\1 {TINY}", text, flags=re.MULTILINE)


def clone(folder: Path) -> Path:
    """Return a folder that looks like a clone and can be written into."""
    for name in ("configs", "examples"):
        (folder / name).symlink_to(ROOT / name)
    for program in ROOT.glob("*.py"):
        (folder / program.name).symlink_to(program)
    return folder


def test_every_tutorial_has_commands_and_stands_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert len(TUTORIALS) == 5
    for page in TUTORIALS:
        assert "python " in commands(page)
        assert f"](tutorials/{page.name})" in index
    assert TINY in commands(TUTORIALS[-1]) or "train.py" not in commands(TUTORIALS[-1])


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial_run(page: Path, tmp_path: Path) -> None:
    with python_that_forks(tmp_path / "bin") as binaries:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands(page)],
            cwd=clone(tmp_path),
            env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    content = nbformat.read(notebook, as_version=4)
    assert all(not cell.get("outputs") for cell in content.cells)
    nbclient.NotebookClient(
        content, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    kinds = {
        kind
        for cell in content.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    }
    assert "image/png" in kinds or "text/html" in kinds
