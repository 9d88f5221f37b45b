"""`train.threads: auto` becomes a number that a run keeps; a stated one stays."""

import dataclasses
from pathlib import Path

import pytest
import torch

from commands.train import threads as build_threads
from commands.train.threads import settle_threads, thread_watch
from configs.reading.load import LoadedExperiment, load_experiment
from tests.commands.compare.test_comparison_parts import experiment, yolo_data
from utils.runtime.distributed.ranks import ALONE
from utils.runtime.machine.load import ThreadChoice

CPU = torch.device("cpu")
TWO = dataclasses.replace(ALONE, size=2, local_size=2)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record which numbers are set; the machine's load asks for three threads."""
    found: list[int] = []
    monkeypatch.setattr(
        build_threads, "choose_threads", lambda: ThreadChoice(3, "other programs keep 1.0 busy")
    )
    monkeypatch.setattr(
        build_threads, "set_threads", lambda threads, processes=1: found.append(threads)
    )
    return found


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedExperiment:
    return experiment(tmp_path, yolo_data(tmp_path / "set"))


def with_threads(loaded: LoadedExperiment, threads: int | str) -> LoadedExperiment:
    train = loaded.experiment.train.model_copy(update={"threads": threads})
    return dataclasses.replace(
        loaded, experiment=loaded.experiment.model_copy(update={"train": train})
    )


def test_a_run_stores_the_number_and_takes_it_again(
    loaded: LoadedExperiment, tmp_path: Path, chosen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = settle_threads(loaded, CPU, ALONE)
    assert loaded.experiment.train.threads == "auto"
    assert settled.experiment.train.threads == 3
    assert settled.hash == loaded.hash
    (tmp_path / "config.yaml").write_text(settled.to_yaml())
    assert "other programs keep 1.0 busy" in (tmp_path / "config.yaml").read_text()
    monkeypatch.setattr(build_threads, "choose_threads", lambda: ThreadChoice(1, "busy by now"))
    resumed = load_experiment(tmp_path / "config.yaml")
    assert settle_threads(resumed, CPU, ALONE) is resumed
    assert chosen == [3, 3]


@pytest.mark.parametrize(("threads", "device", "ranks"), [
    (2, CPU, ALONE), (0, CPU, ALONE), ("adaptive", CPU, ALONE),
    ("auto", torch.device("cuda"), ALONE), ("auto", CPU, TWO),
])  # fmt: skip
def test_nothing_is_chosen_otherwise(
    threads: int | str,
    device: torch.device,
    ranks: object,
    loaded: LoadedExperiment,
    chosen: list[int],
) -> None:
    stated = with_threads(loaded, threads)
    assert settle_threads(stated, device, ranks) is stated  # type: ignore[arg-type]
    assert chosen == [threads]


def test_only_a_chosen_number_is_watched(loaded: LoadedExperiment, chosen: list[int]) -> None:
    settled = settle_threads(loaded, CPU, ALONE)
    watch = thread_watch(settled, ALONE)
    assert watch is not None
    assert watch.state() == {"is_chosen": 1}
    stated = thread_watch(with_threads(loaded, 2), ALONE)
    assert stated is not None
    assert stated.state() == {"is_chosen": 0}
    assert thread_watch(settled, TWO) is None
    assert thread_watch(with_threads(loaded, "adaptive"), ALONE) is None
