"""The evaluation before training: epoch 0 of the table, and no other number of the run."""

import csv
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.utils.engine.test_resume import KilledError, dies_before, outcome
from tests.utils.engine.toy import ToyEvaluation, eval_result, toy_trainer
from utils.engine.hook import Hook
from utils.engine.run import Run


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


class Seen(Hook):
    def __init__(self) -> None:
        self.metrics: list[dict[str, Any]] = []

    def before_training(self, run: Run) -> None:
        self.metrics.append(dict(run.metrics))


def test_it_changes_no_other_number_of_the_run(tmp_path: Path) -> None:
    trainers = [
        toy_trainer(tmp_path / name, evaluates_start=name == "with") for name in ("without", "with")
    ]
    for trainer in trainers:
        trainer.run()
    without, with_start = (
        outcome(tmp_path / name, trainer)
        for name, trainer in zip(("without", "with"), trainers, strict=True)
    )
    for state in (without[0], with_start[0]):
        state["hooks"].pop("CsvHistory")
    assert with_start[0] == without[0]
    assert with_start[1] == without[1]
    assert with_start[2][1:] == without[2]
    assert [row["epoch"] for row in with_start[2]] == ["0", "1", "2", "3"]


def test_epoch_0_is_what_the_untrained_weights_are_worth(tmp_path: Path) -> None:
    evaluation, seen = ToyEvaluation(), Seen()
    trainer = toy_trainer(tmp_path, evaluate=evaluation, evaluates_start=True, hooks=[seen])
    first = {name: value.clone() for name, value in trainer.learner.model.state_dict().items()}
    trainer.run()
    model = toy_trainer(tmp_path / "untrained").learner.average.model
    model.load_state_dict(first)
    expected = ToyEvaluation()(model).map50_95
    assert evaluation.scores[0] == expected
    assert len(evaluation.scores) == 4
    row = rows(tmp_path)[0]
    assert (row["epoch"], row["step"], float(row["map50_95"])) == ("0", "0", expected)
    assert {key for key, value in row.items() if value == ""} >= {"lr", "box", "seconds"}
    assert list(row)[:3] == ["epoch", "step", "lr"]
    assert seen.metrics[0]["map50_95"] == expected


def test_a_start_that_nothing_beats_is_not_the_best_epoch(tmp_path: Path) -> None:
    scores = [0.9, 0.1, 0.5, 0.3]
    trainer = toy_trainer(
        tmp_path, evaluate=lambda model: eval_result(scores.pop(0)), evaluates_start=True
    )
    summary = trainer.run()
    assert (summary.best_epoch, trainer.current.best.score) == (2, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("place", [(0, 0), (0, 2), (1, 3)])
def test_a_resumed_run_evaluates_its_start_once(place: tuple[int, int], tmp_path: Path) -> None:
    straight = toy_trainer(tmp_path / "straight", evaluates_start=True)
    straight.run()
    batches, path = dies_before(place), tmp_path / "killed"
    with pytest.raises(KilledError):
        toy_trainer(path, batches=batches, checkpoint_minutes=1e-9, evaluates_start=True).run()
    trainer = toy_trainer(path, evaluates_start=True)
    if (path / "last").exists():
        trainer = toy_trainer(path, seed=7, evaluates_start=True)
        trainer.resume()
    trainer.run()
    assert outcome(path, trainer) == outcome(tmp_path / "straight", straight)


def test_without_it_and_without_images_to_evaluate_on_there_is_no_epoch_0(tmp_path: Path) -> None:
    for name, changes in (("off", {}), ("blind", {"evaluate": None, "evaluates_start": True})):
        seen = Seen()
        toy_trainer(tmp_path / name, epochs=1, hooks=[seen], **changes).run()
        assert seen.metrics == [{}]
        assert [row["epoch"] for row in rows(tmp_path / name)] == ["1"]


def test_the_console_says_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    toy_trainer(
        tmp_path, epochs=1, evaluate=lambda model: eval_result(0.25), evaluates_start=True
    ).run()
    texts = [record.getMessage() for record in caplog.records]
    assert any(
        text.startswith("epoch 0/1") and "before training" in text and "0.2500" in text
        for text in texts
    )


def test_tensorboard_gets_it_as_step_0(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    toy_trainer(
        tmp_path, epochs=1, tensorboard=True, evaluates_start=True, evaluate=ToyEvaluation()
    ).run()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("map50_95")] == [0, 1]
    assert torch.isfinite(torch.tensor([event.value for event in events.Scalars("map50_95")])).all()
