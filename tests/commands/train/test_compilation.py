from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import commands.train.run as training
import utils.engine.compiled as compilation
from configs.reading.load import load_experiment
from configs.schema.train import TrainSettings
from tests.processes import in_processes
from tests.run_programs import TINY
from tests.utils.engine.test_compiled import CountingBackend
from utils.engine.compiled import Compiler, choose_compiler
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
MANY = 1_000_000
TWO = Ranks(rank=0, size=2, local_rank=0, local_size=2)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Devices whose compiler was tried; all of them have one."""
    devices: list[torch.device] = []

    def require_compiler(device: torch.device, *, is_exact: bool) -> None:
        assert is_exact == (device.type == "cuda")
        devices.append(device)

    monkeypatch.setattr(compilation, "require_compiler", require_compiler)
    return devices


def chosen(
    device: torch.device, ranks: Ranks = ALONE, images: int = MANY, **settings: Any
) -> Compiler | None:
    return choose_compiler(TrainSettings(**settings), device, ranks, num_images=images)


def test_nothing_is_compiled_or_tried_unless_it_is_asked_for(tried: list[torch.device]) -> None:
    assert chosen(CPU, images=1) is None
    assert tried == []


def test_the_loss_is_compiled_on_cuda_in_one_process(tried: list[torch.device]) -> None:
    assert chosen(CPU, compile="network", batch_size=8) == Compiler(batch_size=8)
    on_gpu = Compiler(batch_size=16, has_loss=True, is_exact=True)
    assert chosen(CUDA, compile="network") == on_gpu
    assert chosen(CUDA, TWO, compile="network") == replace(on_gpu, has_loss=False)
    recorded = replace(on_gpu, has_graphs=True)
    assert chosen(CUDA, compile="graphs", nominal_batch=16) == recorded
    assert tried == [CPU, CUDA, CUDA, CUDA]


@pytest.mark.parametrize(
    ("device", "ranks", "settings", "message"),
    [
        (CPU, ALONE, {"compile": "graphs"}, "CUDA graphs and cannot on cpu; set .*=network"),
        (CUDA, TWO, {"compile": "graphs"}, "for one process"),
        (CUDA, TWO, {"compile": "network", "sync_batchnorm": True}, "sync_batchnorm do not go"),
        (CPU, ALONE, {"compile": "network", "epochs": 1, "image_size": 32}, "pays from"),
    ],
    ids=["graphs on a CPU", "graphs of two", "joint norms", "too short"],
)
def test_what_does_not_work_is_refused_before_anything_is_tried(
    device: torch.device,
    ranks: Ranks,
    settings: dict[str, Any],
    message: str,
    tried: list[torch.device],
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        chosen(device, ranks, **settings)
    assert "\n" not in str(caught.value)
    assert tried == []


def test_what_need_not_repeat_may_be_chosen_by_its_speed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compilation, "require_compiler", lambda device, *, is_exact: None)
    compiler = chosen(CUDA, compile="network", deterministic=False)
    assert compiler is not None
    assert not compiler.is_exact


def test_joint_norms_of_one_process_are_ordinary_ones(tried: list[torch.device]) -> None:
    assert chosen(CPU, compile="network", sync_batchnorm=True) is not None


def test_each_process_counts_its_own_batches(tried: list[torch.device]) -> None:
    settings = {"compile": "network", "epochs": 100, "batch_size": 16, "image_size": 320}
    assert chosen(CPU, images=200, **settings) is not None
    with pytest.raises(UserError, match="has 600, 100 epochs of 6"):
        chosen(CPU, TWO, images=200, **settings)


def trained(ranks: Ranks, settings: list[str]) -> list[int]:
    """Return for how many images a compiler was asked for, and what it compiled and ran."""
    backend = CountingBackend()
    asked: list[int] = []

    def choose(settings: TrainSettings, *rest: object, num_images: int) -> Compiler:
        asked.append(num_images)
        return Compiler(batch_size=settings.batch_size, backend=backend)

    training.choose_compiler = choose  # in this process only
    training.train(load_experiment("configs/quickstart.yaml", settings))
    return [*asked, backend.compiled, backend.runs]


@pytest.mark.slow
def test_a_training_computes_its_steps_so(dataset: Path, tmp_path: Path) -> None:
    settings = [each for each in TINY if "=" in each]
    settings += [f"data.path={dataset}", f"run.folder={tmp_path}", "run.name=x", "train.epochs=2"]
    settings += ["model.graph=models/yolov3-tiny.yaml", "train.compile=network"]
    assert in_processes(1, partial(trained, settings=settings)) == [[12, 1, 2 * 3]]
