"""Resuming equals never having stopped, bit for bit."""

import csv
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from configs.schema.train import AdamSettings, AdamWSettings, SgdSettings
from tests.utils.engine.toy import BATCHES, ToyBatches, toy_trainer
from utils.engine.run import TrainingStopped
from utils.engine.trainer import Trainer
from utils.runtime.errors import UserError
from utils.structures.batch import Batch
from utils.structures.loss_terms import LossTerms

VARIANTS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "adam": {"optimizer": AdamSettings(name="adam")},
    "adamw, one batch a step": {"optimizer": AdamWSettings(name="adamw"), "nominal_batch": 4},
    "contiguous, three batches a step": {"channels_last": False, "nominal_batch": 12},
    "no momentum": {"optimizer": SgdSettings(momentum=0.0)},
    "bf16": {"precision": "bf16"},
    "validated every second epoch": {"eval_interval": 2},
    "no validation": {"evaluate": None},
    "stops early": {"patience": 1, "epochs": 6, "optimizer": SgdSettings(lr=1e-9)},
}
WALL_TIME = {"images_per_second", "seconds"}


@pytest.fixture(autouse=True)
def _quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of checkpoints; no power loss is simulated here."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


class KilledError(Exception):
    """Stands for SIGKILL: nothing of ours runs after it."""


def bits(tree: Any) -> Any:
    """Replace tensors by their bytes, so that == compares bits."""
    if isinstance(tree, Tensor):
        dense = tree.detach().contiguous().reshape(-1)
        return tree.dtype, tuple(tree.shape), dense.view(torch.uint8).numpy().tobytes()
    if isinstance(tree, dict):
        return {key: bits(value) for key, value in tree.items() if key not in WALL_TIME | {"clock"}}
    if isinstance(tree, list | tuple):
        return [bits(item) for item in tree]
    return tree


def outcome(path: Path, trainer: Any) -> tuple[Any, ...]:
    with (path / "metrics.csv").open() as file:
        rows = [
            {k: v for k, v in row.items() if k not in WALL_TIME} for row in csv.DictReader(file)
        ]
    return bits(trainer.state()), (path / "best.safetensors").read_bytes(), rows


def straight(path: Path, variant: dict[str, Any]) -> tuple[Any, ...]:
    trainer = toy_trainer(path, **variant)
    trainer.run()
    return outcome(path, trainer)


def dies_before(place: tuple[int, int]) -> ToyBatches:
    def before_batch(epoch: int, batch: int) -> None:
        if (epoch, batch) == place:
            raise KilledError

    return ToyBatches(before_batch)


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_killed_anywhere_and_resumed_equals_never_stopped(name: str, tmp_path: Path) -> None:
    variant = VARIANTS[name]
    expected = straight(tmp_path / "straight", variant)
    # Dead in the warm-up, between two steps, in the last epoch; "sgd" dies everywhere.
    frequent = range(1, 3 * BATCHES) if name == "sgd" else (3, 6)
    rare = (3, 5, 6, 14) if name == "sgd" else (14,)
    for minutes, positions in ((1e-9, frequent), (60.0, rare)):
        for position in positions:
            place = divmod(position, BATCHES)
            path = tmp_path / f"{minutes}-{position}"
            batches = dies_before(place)
            trainer = toy_trainer(path, batches=batches, checkpoint_minutes=minutes, **variant)
            try:
                trainer.run()
            except KilledError:
                # Another start: what is not restored would show.
                trainer = toy_trainer(path, seed=7, checkpoint_minutes=minutes, **variant)
                if (path / "last").exists():
                    trainer.resume()
                else:
                    trainer = toy_trainer(path, **variant)
                trainer.run()
            assert outcome(path, trainer) == expected, place


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (1, BATCHES - 1), (2, BATCHES - 1)])
def test_stopped_by_signal_and_resumed_equals_never_stopped(
    number: signal.Signals, place: tuple[int, int], tmp_path: Path
) -> None:
    expected = straight(tmp_path / "straight", {})

    def before_batch(epoch: int, batch: int) -> None:
        if (epoch, batch) == place:
            os.kill(os.getpid(), number)

    path = tmp_path / "stopped"
    epoch, batch = place
    message = (
        rf"stopped at epoch {epoch + 1}, batch {batch + 1}/5; continue with --resume .*stopped"
    )
    handler = signal.getsignal(number)
    with pytest.raises(TrainingStopped, match=message):
        toy_trainer(path, batches=ToyBatches(before_batch)).run()
    trainer = toy_trainer(path, seed=7)
    trainer.resume()
    trainer.run()
    assert outcome(path, trainer) == expected
    assert signal.getsignal(number) == handler


def test_every_batch_is_observed_before_it_is_trained_on(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []

    def observer(path: Path, **changes: Any) -> Trainer:
        trainer = toy_trainer(
            path, epochs=2, observe=lambda batch, at: seen.append(("seen", at)), **changes
        )
        learn = trainer.learner.learn

        def noted(batch: Batch, iteration: int) -> LossTerms | None:
            seen.append(("trained on", iteration))
            return learn(batch, iteration)

        trainer.learner.learn = noted  # type: ignore[method-assign]
        return trainer

    with pytest.raises(KilledError):
        observer(tmp_path, batches=dies_before((1, 1)), checkpoint_minutes=1e-9).run()
    resumed = observer(tmp_path, seed=7)
    resumed.resume()
    resumed.run()
    both = [(what, at) for at in range(2 * BATCHES) for what in ("seen", "trained on")]
    assert seen == both


def test_resuming_a_complete_training_changes_nothing(tmp_path: Path) -> None:
    expected = straight(tmp_path, {})
    trainer = toy_trainer(tmp_path, seed=7)
    trainer.resume()
    result = trainer.run()
    assert outcome(tmp_path, trainer) == expected
    assert (result.epochs, result.steps) == (3, 9)
    assert result.best_result is not None
    assert trainer.current.best is not None
    assert result.best_result["map50_95"] == trainer.current.best.score


def test_rows_beyond_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        toy_trainer(tmp_path, batches=dies_before((1, 2))).run()
    metrics = tmp_path / "metrics.csv"
    metrics.write_text(metrics.read_text() + "2,99" + "," * 12 + "\n")
    toy_trainer(tmp_path).resume()
    with metrics.open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1"]


def test_another_network_or_number_of_batches_is_refused(tmp_path: Path) -> None:
    toy_trainer(tmp_path, epochs=1).run()
    with pytest.raises(UserError, match=r"another training.*5 batches per epoch, now 4"):
        toy_trainer(tmp_path, batches=ToyBatches(batches=4)).resume()
    with pytest.raises(UserError, match="another training"):
        toy_trainer(tmp_path, model=torch.nn.Linear(1, 1)).resume()


def test_without_a_checkpoint_resume_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint to resume from"):
        toy_trainer(tmp_path).resume()


def test_other_batches_on_purpose_go_on_at_the_same_share_of_the_epoch(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        toy_trainer(tmp_path, batches=dies_before((1, 4)), checkpoint_minutes=1e-9).run()
    trainer = toy_trainer(tmp_path, batches=ToyBatches(batches=10), epochs=4)
    trainer.resume(other_batches=True)
    assert (trainer.current.epochs_done, trainer.current.batch) == (1, 8)
    assert trainer.run().epochs == 4


def test_a_finished_training_can_be_given_more_epochs(tmp_path: Path) -> None:
    toy_trainer(tmp_path).run()
    trainer = toy_trainer(tmp_path, epochs=5)
    trainer.resume()
    assert trainer.run().epochs == 5
    with (tmp_path / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3", "4", "5"]
