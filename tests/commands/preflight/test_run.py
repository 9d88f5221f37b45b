"""A preflight: what it says of a sound training, and what it finds."""

import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from commands.check_data.cli import trial_arguments
from commands.preflight import findings, run
from commands.preflight.findings import Preflight, check_disk, check_folder, judge_speed
from commands.preflight.run import precisions, preflight
from commands.train.cli import parse_train_command
from configs.reading.load import LoadedExperiment, load_experiment
from utils.runtime.errors import UserError

SMALL = (
    "data.train_images=12", "data.val_images=6", "data.test_images=3", "data.side=96",
    "train.image_size=96", "train.batch_size=4", "train.nominal_batch=8", "train.workers=0",
    "train.threads=1", "train.cache=off",
)  # fmt: skip


def experiment(dataset: Path, runs: Path, *settings: str) -> LoadedExperiment:
    stated = (*SMALL, f"data.path={dataset}", f"run.folder={runs}", *settings)
    return load_experiment("quickstart.yaml", stated)


def levels(result: Preflight) -> list[str]:
    return [finding.level for finding in result.findings]


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_export", lambda result, folder: None)


@pytest.mark.slow
def test_a_sound_training(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    result = preflight(experiment(dataset, tmp_path / "runs"))
    text = result.text()
    assert result.is_clear, text
    for part in (
        "18 images read: fine",
        "2 steps in float32: fine",
        "trained, evaluated, killed and resumed: fine",
        "exported as ONNX and checked: fine",
        "GiB held",
        "an epoch: about",
        "disk: a run takes",
        "million parameters",
    ):
        assert part in text
    assert "compute-bound" in text or "loader-bound" in text
    assert text.endswith("ready to train")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("no_export")
def test_the_killed_training_is_resumed_and_evaluated(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path] = []
    real = run._train_killed_and_resumed

    def keep(parts: Any, folder: Any, batches: Any) -> None:
        real(parts, folder, batches)
        shutil.copytree(folder.path, tmp_path / "kept")
        kept.append(tmp_path / "kept")

    monkeypatch.setattr(run, "_train_killed_and_resumed", keep)
    assert preflight(experiment(dataset, tmp_path / "runs")).is_clear
    (folder,) = kept
    header, *rows = (folder / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1
    assert dict(zip(header.split(","), rows[0].split(","), strict=True))["map50_95"] != ""
    assert (folder / "best.safetensors").is_file()


@pytest.mark.slow
def test_a_resume_at_the_wrong_place_is_found(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run.Trainer, "resume", lambda self: None)
    result = preflight(experiment(dataset, tmp_path / "runs"))
    assert "resumed at batch 0 instead of 1" in result.text()
    assert not result.is_clear


def test_an_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = Preflight()
    check_folder(result, tmp_path / "file" / "runs")
    assert levels(result) == ["error"]
    assert str(tmp_path / "file") in result.text()
    fine = Preflight()
    check_folder(fine, tmp_path / "new" / "runs")
    assert fine.is_clear
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("free", "found"), [(10 << 30, []), (100 << 20, ["error"])])
def test_a_disk_that_is_too_small(
    free: int, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    result = Preflight()
    check_disk(result, tmp_path / "runs", parameters=2_000_000, cache_bytes=0)
    assert levels(result) == found
    assert ("set run.folder elsewhere" in result.text()) == bool(found)


def test_classes_that_do_not_fit(tmp_path: Path) -> None:
    import cv2

    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"images/{number}.png"), np.zeros((64, 64, 3), np.uint8))
        (tmp_path / f"labels/{number}.txt").write_text(f"{3 * number} 0.5 0.5 0.2 0.2\n")
    data = tmp_path / "data.yaml"
    data.write_text(f"path: {tmp_path}\ntrain: images\nval: images\nnames: [a, b]\n")
    loaded = load_experiment(
        "from_scratch.yaml", [f"data={data}", f"run.folder={tmp_path}/runs", "train.device=cpu"]
    )
    result = preflight(loaded)
    assert not result.is_clear
    assert any("class" in finding.text for finding in result.findings), result.text()


@pytest.mark.slow
@pytest.mark.usefixtures("no_export")
def test_a_batch_that_is_too_large(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def learn(self: Any, batch: Any, iteration: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr(run.Learner, "learn", learn)
    result = preflight(experiment(dataset, tmp_path / "runs"))
    errors = [str(f) for f in result.findings if f.level == "error"]
    assert errors[0].startswith("error: 2 steps in float32: not enough memory on cpu")
    assert "train.batch_size=2" in errors[0]


@pytest.mark.parametrize("kept", [200, 0.7])
def test_an_unreadable_image(kept: float, dataset: Path, tmp_path: Path) -> None:
    """Cut off in its header, labels tell; cut off behind it, only reading does."""
    shutil.copytree(dataset, tmp_path / "copy")
    broken = next((tmp_path / "copy").rglob("train/*.jpg"))
    content = broken.read_bytes()
    broken.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    result = preflight(experiment(tmp_path / "copy", tmp_path / "runs"))
    assert not result.is_clear
    assert broken.stem in result.text()


class Sleepy:
    """A pixel operation that takes longer than learning from its image, by the clock of a test."""

    slept_s = 0.0

    def __call__(self, image: Any) -> Any:
        Sleepy.slept_s += 100
        return image


@pytest.mark.slow
@pytest.mark.usefixtures("no_export")
def test_a_slow_loader(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "perf_counter", lambda: time.perf_counter() + Sleepy.slept_s)
    loaded = experiment(dataset, tmp_path / "runs", f"augment.custom=['{__name__}.Sleepy']")
    result = preflight(loaded)
    assert "loader-bound" in result.text()
    assert any("images load slower" in finding.text for finding in result.findings)
    assert result.is_clear


def test_speed_is_judged_by_the_slower_part() -> None:
    result = Preflight()
    assert judge_speed(result, load_s=0.1, step_s=0.5, workers=2, batches=10) == 5.0
    assert "compute-bound" in result.lines[0]
    assert judge_speed(result, load_s=0.1, step_s=0.5, workers=0, batches=10) == pytest.approx(6)
    assert levels(result) == []
    assert judge_speed(result, load_s=0.9, step_s=0.5, workers=2, batches=10) == 9.0
    assert "train.workers=4" in result.findings[0].text


def test_every_precision_that_the_device_has(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda:0")
    monkeypatch.setattr("utils.engine.precision.cpu_computes_bf16", lambda: True)
    assert precisions(cpu) == ["float32", "bf16"]
    monkeypatch.setattr("utils.engine.precision.cpu_computes_bf16", lambda: False)
    assert precisions(cpu) == ["float32"]
    for native, names in ((True, ["float32", "bf16", "fp16"]), (False, ["float32", "fp16"])):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda native=native, **_: native)
        assert precisions(cuda) == names


def test_other_errors_are_not_hidden() -> None:
    result = Preflight()
    with pytest.raises(RuntimeError, match="shapes"), result.trying("x"):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    with result.trying("y"):
        raise UserError("first line\nsecond line")
    assert [finding.text for finding in result.findings] == ["y: first line", "y: second line"]
    assert findings.Finding(level="error", text="z").text == "z"


def test_check_data_takes_the_words_of_train() -> None:
    arguments = trial_arguments(["--run", "my.yaml", "--cfg", "a.yaml", "train.epochs=3"])
    assert arguments == ["--preflight", "data=my.yaml", "--cfg", "a.yaml", "train.epochs=3"]
    command = parse_train_command(arguments)
    assert command.preflight
    assert command.cfg == Path("a.yaml")
    with pytest.raises(SystemExit):
        parse_train_command(["--preflight", "--resume", "x"])
