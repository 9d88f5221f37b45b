"""`train.precision: auto` becomes a name that a run keeps; a stated one stays."""

import dataclasses
import logging
from pathlib import Path

import pytest
import torch

from commands.train import precision as settling
from commands.train.precision import settle_precision
from configs.reading.load import LoadedExperiment, load_experiment
from tests.commands.compare.test_comparison_parts import experiment, yolo_data
from utils.engine import precision as choice
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.machine import device as machine

CPU = torch.device("cpu")


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedExperiment:
    return experiment(tmp_path, yolo_data(tmp_path / "set"))


def cpu_with_bf16(patch: pytest.MonkeyPatch, has_it: bool) -> None:
    for module in (settling, choice):
        patch.setattr(module, "cpu_computes_bf16", lambda: has_it)


@pytest.mark.parametrize(("has_it", "name"), [(True, "bf16"), (False, "float32")])
def test_a_run_stores_what_it_computes_in_and_keeps_it_elsewhere(
    has_it: bool,
    name: str,
    loaded: LoadedExperiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu_with_bf16(monkeypatch, has_it)
    settled = settle_precision(loaded, CPU, ALONE)
    assert loaded.experiment.train.precision == "auto"
    assert settled.experiment.train.precision == name
    (tmp_path / "config.yaml").write_text(settled.to_yaml())
    assert "auto: the CPU at the start computes" in (tmp_path / "config.yaml").read_text()
    cpu_with_bf16(monkeypatch, not has_it)
    resumed = load_experiment(tmp_path / "config.yaml")
    assert settle_precision(resumed, CPU, ALONE) is resumed
    assert resumed.experiment.train.precision == name


def test_a_slow_precision_is_said(
    loaded: LoadedExperiment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    train = loaded.experiment.train.model_copy(update={"precision": "bf16"})
    stated = dataclasses.replace(
        loaded, experiment=loaded.experiment.model_copy(update={"train": train})
    )
    with caplog.at_level(logging.WARNING):
        cpu_with_bf16(monkeypatch, True)
        settle_precision(stated, CPU, ALONE)
        settle_precision(stated, torch.device("cuda"), ALONE)
        assert not caplog.records
        cpu_with_bf16(monkeypatch, False)
        settle_precision(stated, CPU, ALONE)
    assert "slower than float32; train.precision=float32 changes that" in caplog.text


def test_the_first_process_decides_for_all(
    loaded: LoadedExperiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one runs on a machine without bf16."""
    cpu_with_bf16(monkeypatch, False)
    monkeypatch.setattr(Ranks, "from_main", lambda self, value: "bf16")
    second = dataclasses.replace(ALONE, rank=1, size=2)
    assert settle_precision(loaded, CPU, second).experiment.train.precision == "bf16"


@pytest.mark.parametrize(
    ("native", "name", "reason"),
    [(True, "bf16", "the GPU at the start computes it"), (False, "fp16", "and not bf16")],
)
def test_a_gpu_says_why(
    native: bool,
    name: str,
    reason: str,
    loaded: LoadedExperiment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: native)
    settled = settle_precision(loaded, torch.device("cuda:0"), ALONE)
    assert settled.experiment.train.precision == name
    assert reason in settled.origins["train.precision"]


def test_an_apple_gpu_computes_in_float32(loaded: LoadedExperiment) -> None:
    settled = settle_precision(loaded, torch.device("mps"), ALONE)
    assert settled.experiment.train.precision == "float32"


def test_this_machine_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("flags : fpu avx512_bf16\n")
    monkeypatch.setattr(machine, "CPU_INFO", path)
    assert choice.precision_name("auto", CPU) == "bf16"
    assert choice.precision_name("float32", CPU) == "float32"
