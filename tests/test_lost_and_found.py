"""Runs that went wrong half-way: what is said, what is kept, and that they go on afterwards."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run_programs import TINY, run, train, weights_digest
from utils.checkpoint.state import load_state

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(dataset, tmp_path_factory.mktemp("finished"), "train.epochs=2")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs" / "x"))


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, (word, done.stderr)


def test_changes_are_named_kept_and_used(copy: Path) -> None:
    settings = ("train.epochs=3", "train.optimizer.lr=0.002", "train.batch_size=6")
    done = run("train.py", "--resume", copy, *settings)
    assert done.returncode == 0, done.stderr
    assert "changed on resume: train.epochs: 2 -> 3" in done.stderr
    assert re.search(r"changed on resume: train.optimizer.lr: [\d.]+ -> 0.002", done.stderr)
    assert "changed on resume: train.batch_size: 4 -> 6" in done.stderr
    config = (copy / "config.yaml").read_text()
    assert re.search(r"epochs: 3 .*# command line", config)
    assert len((copy / "metrics.csv").read_text().splitlines()) == 4
    again = run("train.py", "--resume", copy)
    assert again.returncode == 0, again.stderr
    assert "this training is complete: 3 epochs" in again.stderr


def test_another_network_cannot_be_asked_for(copy: Path) -> None:
    done = run("train.py", "--resume", copy, "model.graph=models/yolov5s.yaml")
    refused(done, "model.graph", "cannot be changed on resume")


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_a_flipped_bit_falls_back_to_the_checkpoint_before(copy: Path, name: str) -> None:
    data = bytearray((copy / "last" / name).read_bytes())
    data[len(data) // 2] ^= 4
    (copy / "last" / name).write_bytes(data)
    done = run("train.py", "--resume", copy)
    assert done.returncode == 0, done.stderr
    assert "resuming from the checkpoint before it" in done.stderr
    assert "resuming at epoch 2, batch 1" in done.stderr
    assert load_state(copy / "last")["epoch"] == 2


def test_divergence_says_where_and_replay_finds_it_again(dataset: Path, tmp_path: Path) -> None:
    done = run(
        "train.py", *TINY, f"data.path={dataset}", f"run.folder={tmp_path}", "run.name=x",
        "train.epochs=3", "train.optimizer.lr=1e30", "train.warmup.epochs=0", "train.clip_norm=0",
    )  # fmt: skip
    refused(done, "not finite", "; step ", "images 0", "train.py --replay")
    saved = re.search(r"--replay (\S+\.safetensors)", done.stderr)
    assert saved is not None
    looked = run("train.py", "--replay", saved[1])
    assert looked.returncode == 0, looked.stderr
    assert "first not finite: " in looked.stderr
    began = re.search(r"began in (.*?), images", done.stderr)
    assert began is not None
    assert f"first not finite: {began[1]}" in looked.stderr
    refused(run("train.py", "--replay", tmp_path / "x" / "config.yaml"), "config.yaml")


def mounted(folder: Path, *options: str) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    return os.geteuid() == 0 and not subprocess.run(command, check=False).returncode


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own; only root may mount one."""
    folder = tmp_path / "disk"
    if not mounted(folder, "-o", "size=192m"):
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_costs_nothing_but_time(finished: Path, disk: Path) -> None:
    folder = Path(shutil.copytree(finished, disk / "x"))
    before = weights_digest(folder)
    free = shutil.disk_usage(disk).free
    (disk / "junk").write_bytes(bytes(free - 2**16))
    refused(run("train.py", "--resume", folder, "train.epochs=3"), "No space left", "free space")
    assert weights_digest(folder) == before
    assert load_state(folder / "last")["epoch"] == 2
    (disk / "junk").unlink()
    done = run("train.py", "--resume", folder, "train.epochs=3")
    assert done.returncode == 0, done.stderr
    assert load_state(folder / "last")["epoch"] == 3


def test_read_only_folder_is_said_to_be_so(finished: Path, dataset: Path, disk: Path) -> None:
    folder = Path(shutil.copytree(finished, disk / "x"))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    refused(run("train.py", "--resume", folder, "train.epochs=3"), "Read-only file system")
    settings = (f"data.path={dataset}", f"run.folder={disk / 'more'}", "train.epochs=1")
    refused(run("train.py", *TINY, *settings), "Read-only file system", str(disk / "more"))
    judged = run("val.py", "--weights", folder / "best.safetensors")
    assert judged.returncode == 0, judged.stderr


def test_killed_in_its_first_checkpoint_begins_anew(copy: Path, finished: Path) -> None:
    shutil.rmtree(copy / "last.previous")
    os.rename(copy / "last", copy / "last.new")
    (copy / "last.new" / "state.json").unlink()
    (copy / "best.safetensors").unlink()
    done = run("train.py", "--resume", copy)
    assert done.returncode == 0, done.stderr
    assert "no checkpoint was written yet: starting from the beginning" in done.stderr
    assert weights_digest(copy) == weights_digest(finished)
