"""Mistakes of the user: one clear line, exit code 2, no traceback, nothing lost or half-written."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.run_programs import TINY, TINY_NETWORK, run, train, weights_digest

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "copy"))


YOLO = (
    "--cfg", "configs/quickstart.yaml", "train.image_size=96", "train.batch_size=4",
    "train.epochs=1", "train.workers=0", "train.precision=float32", f"model.graph={TINY_NETWORK}",
)  # fmt: skip


def as_yolo(folder: Path, runs: Path, **splits: str) -> tuple[str, ...]:
    """Arguments that train on the generated files as on anybody's YOLO data set."""
    yaml = folder / "data.yaml"
    names = "[disc, ring, box, cross, triangle, star]"
    splits = {"train": "images/train", "val": "images/val", **splits}
    lines = [f"path: {folder}", f"names: {names}", *(f"{k}: {v}" for k, v in splits.items())]
    yaml.write_text("\n".join(lines) + "\n")
    return (*YOLO, f"data={yaml}", f"run.folder={runs}", "run.name=x")


def refuse(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, (word, done.stderr)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train.epoch=3", ("unknown key 'train.epoch'", "train.epochs")),
        ("train.epochs=0", ("train.epochs is 0", "at least 1")),
        ("loss.objectness.alpha=0.25", ("no effect", "name is bce")),
        ("train.device=cuda:9", ("train.device",)),
        ("augment.custom=[my_ops.blur]", ("augment.custom: my_ops.blur", "no module my_ops")),
        ("augment.custom=[os.path]", ("augment.custom: os.path is a module",)),
        ("augment.custom=[a.b, a.b]", ("augment", "custom contains a.b more than once")),
    ],
)
def test_settings(setting: str, words: tuple[str, ...], tmp_path: Path) -> None:
    refuse(run("train.py", *TINY, setting, f"run.folder={tmp_path / 'runs'}"), *words)
    assert not (tmp_path / "runs").exists()


def test_missing_data_folder_names_every_place_tried(tmp_path: Path) -> None:
    done = run("train.py", "--cfg", "configs/bccd.yaml", f"data.path={tmp_path / 'nowhere'}")
    refuse(done, str(tmp_path / "nowhere"), "FOCALDET_DATASETS")


def test_empty_split(copy: Path, tmp_path: Path) -> None:
    (copy / "images" / "none").mkdir()
    refuse(run("train.py", *as_yolo(copy, tmp_path / "runs", val="images/none")), "data.val")
    refuse(run("train.py", *as_yolo(copy, tmp_path / "runs", val="images/typo")), "typo")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("row", ["9 0.5 0.5 0.2 0.2", "0 nan 0.5 0.2 0.2", "0 0.5 0.5 0.2", "x y"])
def test_a_bad_row_is_rejected_and_the_image_stays(row: str, copy: Path, tmp_path: Path) -> None:
    label = copy / "labels" / "train" / "000000.txt"
    label.write_text(label.read_text() + row + "\n")
    before = label.read_bytes()
    stopped = run("train.py", *as_yolo(copy, tmp_path / "runs"))
    refuse(stopped, "data.max_rejected", "000000.txt")
    done = run("train.py", *as_yolo(copy, tmp_path / "more"), "data.max_rejected=0.5")
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "more" / "x" / "labels_report.csv").read_text()
    line = len(before.splitlines())
    assert f"000000.txt,line {line}," in report
    assert "12 images" in done.stderr
    assert label.read_bytes() == before


def test_damaged_images_are_left_out_by_name(copy: Path, tmp_path: Path) -> None:
    truncated = copy / "images" / "train" / "000001.jpg"
    truncated.write_bytes(truncated.read_bytes()[:1500])
    (copy / "images" / "train" / "000002.jpg").write_text("this is not an image")
    done = run("train.py", *as_yolo(copy, tmp_path / "runs"), "data.max_rejected=1")
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "runs" / "x" / "labels_report.csv").read_text()
    assert "000001.jpg" in report
    assert "000002.jpg" in report
    assert "10 images" in done.stderr
    assert truncated.stat().st_size == 1500


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(dataset, tmp_path_factory.mktemp("finished"), "train.epochs=1")


def test_weights_of_another_class_count(finished: Path, dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        f"path: {dataset}\nnames: [disc, ring, box, cross, triangle, star, more]\n"
        "train: images/train\nval: images/val\n"
    )
    done = run("val.py", "--weights", finished / "best.safetensors", "--data", other)
    refuse(done, "6 classes", "7 classes")


def test_weights_that_are_none(tmp_path: Path) -> None:
    for name, content in (("x.safetensors", b"\x08\0\0\0\0\0\0\0{}      "), ("x.pt", b"nothing")):
        (tmp_path / name).write_bytes(content)
        refuse(run("val.py", "--weights", tmp_path / name, "--data", "coco128"), name)
    refuse(run("val.py", "--weights", tmp_path / "absent.safetensors"), "absent.safetensors")


def test_folder_that_cannot_be_made(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = (f"data.path={dataset}", f"run.folder={tmp_path / 'file'}")
    refuse(run("train.py", *TINY, *settings), str(tmp_path / "file"))


def test_resume_of_nothing(finished: Path, tmp_path: Path) -> None:
    refuse(run("train.py", "--resume", tmp_path / "nowhere"), "nowhere")
    (tmp_path / "empty").mkdir()
    refuse(run("train.py", "--resume", tmp_path / "empty"), "config.yaml")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB; only root may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_says_so_and_keeps_what_was_whole(dataset: Path, small_disk: Path) -> None:
    runs = small_disk / "runs"
    done = run(
        "train.py", *TINY, f"data.path={dataset}", f"run.folder={runs}", "run.name=x",
        "train.epochs=2", "model.graph=models/yolov5n.yaml",  # whose checkpoints do not fit
    )  # fmt: skip
    refuse(done, "No space left")
    whole = [path.name for path in (runs / "x").iterdir()]
    if "best.safetensors" in whole:
        assert weights_digest(runs / "x")
