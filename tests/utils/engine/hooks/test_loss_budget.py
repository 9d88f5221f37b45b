"""The budget of a training: measured when due, on disk after each epoch, resumed exactly."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from tests.utils.engine.toy import BATCHES, ToyBatches, toy_trainer
from utils.engine.hook import Hook
from utils.engine.hooks.loss_budget import LossBudgetLog
from utils.engine.run import Run
from utils.runtime.files.run_folder import RunFolder
from utils.structures.batch import Targets
from utils.structures.budget import GROUPS, LOSS_BINS, BranchBudget, LossBudget


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def toy_budget(predictions: torch.Tensor, targets: Targets) -> LossBudget:
    """A budget that depends on every weight of the network."""
    size = predictions.detach().double().abs()
    branch = BranchBudget(
        sums=size.sum() * torch.rand(2, 10, 2, 1, 3, generator=torch.Generator().manual_seed(0)),
        scores=size.mean() * torch.ones(2, 20),
        losses=size.mean() * torch.ones(2, LOSS_BINS, 2),
    )
    return LossBudget(
        branches={"objectness": branch},
        matches=torch.ones(2, 1, 1),
        targets=torch.tensor([float(len(targets))]),
        matched_targets=torch.tensor([1.0]),
        images=len(predictions),
        batches=1,
        strides=(8, 16),
    )


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "budget.csv").open() as file:
        return list(csv.DictReader(file))


def train(path: Path, **changes: Any) -> Any:
    trainer = toy_trainer(path, **{"measure_budget": toy_budget, "budget_interval": 2, **changes})
    trainer.run()
    return trainer


def files(path: Path) -> list[bytes]:
    names = ("budget.csv", "budget.json", "best.safetensors")
    return [(path / name).read_bytes() for name in names]


def test_every_nth_batch_of_an_epoch_is_measured(tmp_path: Path) -> None:
    train(tmp_path)
    assert [(row["epoch"], row["batches"]) for row in rows(tmp_path)] == [
        ("1", "3"),
        ("2", "3"),
        ("3", "3"),
    ]
    train(tmp_path / "seldom", budget_interval=50)
    assert [row["batches"] for row in rows(tmp_path / "seldom")] == ["1", "1", "1"]


def test_rows_hold_shares_matches_and_recall(tmp_path: Path) -> None:
    train(tmp_path, budget_interval=BATCHES)
    for row in rows(tmp_path):
        for what in ("loss", "gradient"):
            shares = [float(row[f"objectness_{what}_{group}"]) for group in GROUPS]
            assert sum(shares) == pytest.approx(1)
            assert all(share > 0 for share in shares)
        assert (row["matches_stride_8"], row["matches_stride_16"]) == ("0.25", "0.25")
        assert float(row["best_possible_recall"]) == 0.25


@pytest.mark.slow
@pytest.mark.parametrize(
    ("epochs", "kept"), [(1, [1]), (2, [1, 2]), (3, [1, 3]), (8, [1, 2, 8]), (12, [1, 3, 12])]
)
def test_first_quarter_and_last_epoch_are_kept(
    epochs: int, kept: list[int], tmp_path: Path
) -> None:
    train(tmp_path, epochs=epochs, evaluate=None)
    content = json.loads((tmp_path / "budget.json").read_text())
    assert content["format_version"] == 1
    assert [epoch["epoch"] for epoch in content["epochs"]] == kept
    last = content["epochs"][-1]["branches"]["objectness"]["shares"]["easy_negatives"]["loss"]
    assert last == float(rows(tmp_path)[-1]["objectness_loss_easy_negatives"])


def test_without_interval_or_measure_there_are_no_files(tmp_path: Path) -> None:
    train(tmp_path / "a", budget_interval=0)
    train(tmp_path / "b", measure_budget=None)
    for name in ("a", "b"):
        assert not list((tmp_path / name).glob("budget.*"))


def test_weights_are_the_same_with_and_without(tmp_path: Path) -> None:
    train(tmp_path / "with", budget_interval=1)
    train(tmp_path / "without", budget_interval=0)
    weights = [(tmp_path / name / "best.safetensors").read_bytes() for name in ("with", "without")]
    assert weights[0] == weights[1]


class KilledError(Exception):
    """Stands for SIGKILL."""


def dies_before(place: tuple[int, int]) -> Callable[[int, int], None]:
    def before_batch(epoch: int, batch: int) -> None:
        if (epoch, batch) == place:
            raise KilledError

    return before_batch


@pytest.mark.parametrize("minutes", [1e-9, 60.0])
@pytest.mark.parametrize("position", [1, 3, 5, 6, 10, 14])
def test_killed_and_resumed_equals_never_stopped(
    position: int, minutes: float, tmp_path: Path
) -> None:
    train(tmp_path / "straight")
    path = tmp_path / "killed"
    batches = ToyBatches(dies_before(divmod(position, BATCHES)))
    with pytest.raises(KilledError):
        train(path, batches=batches, checkpoint_minutes=minutes)
    trainer = toy_trainer(path, measure_budget=toy_budget, budget_interval=2)
    if (path / "last").exists():
        trainer.resume()
    trainer.run()
    assert files(path) == files(tmp_path / "straight")


def ended(epoch: int) -> Any:
    """Stands for a run whose epoch has just ended."""
    return SimpleNamespace(epoch=epoch, extras={})


def test_files_of_abandoned_epochs_go(tmp_path: Path) -> None:
    def log() -> LossBudgetLog:
        return LossBudgetLog(
            toy_budget, interval=1, batches_per_epoch=1, epochs=9, folder=RunFolder(tmp_path)
        )

    targets = Targets(
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        image_index=torch.zeros(0, dtype=torch.int64),
    )
    first = log()
    start = first.state()
    first.observe(torch.ones(1, 3), targets, 0)
    first.after_epoch(ended(1))
    assert (tmp_path / "budget.csv").exists()
    log().load_state(start)
    assert not list(tmp_path.glob("budget.*"))


def test_an_epoch_without_measurement_has_no_row(tmp_path: Path) -> None:
    log = LossBudgetLog(
        toy_budget, interval=1, batches_per_epoch=1, epochs=9, folder=RunFolder(tmp_path)
    )
    run = ended(1)
    log.after_epoch(run)
    assert run.extras == {}
    assert not list(tmp_path.glob("budget.*"))


def test_later_hooks_get_the_row(tmp_path: Path) -> None:
    class Logger(Hook):
        seen: ClassVar[list[Any]] = []

        def after_epoch(self, run: Run) -> None:
            self.seen.append({**run.metrics, **run.extras})

    train(tmp_path, hooks=[Logger()])
    for shown, written in zip(Logger.seen, rows(tmp_path), strict=True):
        assert shown["epoch"] == int(written["epoch"])
        share = shown["budget/objectness_loss_positives"]
        assert share == float(written["objectness_loss_positives"])
