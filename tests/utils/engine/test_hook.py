"""What hooks see, when they are called, and that nothing they do loses a training."""

import csv
import logging
from pathlib import Path
from typing import Any

import pytest

from tests.utils.engine.test_guard import Poison
from tests.utils.engine.test_resume import KilledError, dies_before, outcome, straight
from tests.utils.engine.toy import BATCHES, ToyBatches, toy_trainer
from utils.checkpoint.state import load_state
from utils.checkpoint.weights import load_weights
from utils.engine.hook import Hook, HookCalls, HookError
from utils.engine.run import Run
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.errors import UserError
from utils.structures.loss_terms import LossTerms


class Diary(Hook):
    """Writes down every call and what the run said then; remembers how many steps it saw."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.steps = 0
        self.total_steps = 0

    def before_training(self, run: Run) -> None:
        self.calls.append(("before", run.epoch, run.batch))
        self.total_steps = run.total_steps

    def after_step(self, run: Run, losses: LossTerms) -> None:
        assert not losses.total.requires_grad
        self.steps += 1
        self.calls.append(("step", run.epoch, run.batch))

    def after_epoch(self, run: Run) -> None:
        assert run.metrics["epoch"] == run.epoch
        assert run.metrics["lr"] == run.learning_rate
        assert run.metrics["step"] == run.step
        self.calls.append(("epoch", run.epoch, run.batch, run.result is not None, run.is_best))

    def after_training(self, run: Run) -> None:
        self.calls.append(("after", run.epoch, run.is_finished))

    def state(self) -> dict[str, int]:
        return {"steps": self.steps}

    def load_state(self, state: dict[str, int]) -> None:
        self.steps = state["steps"]


class Broken(Hook):
    """Raises in one moment, the `count`-th time."""

    def __init__(self, moment: str, count: int = 1, error: Exception | None = None) -> None:
        self.left = count
        self.error = error or ZeroDivisionError("division\nby zero")
        setattr(self, moment, self.fail)

    def fail(self, *arguments: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.error


class Stopper(Hook):
    """Ends the training in one moment of one epoch."""

    def __init__(self, moment: str, epoch: int) -> None:
        self.moment, self.epoch = moment, epoch

    def after_step(self, run: Run, losses: LossTerms) -> None:
        if self.moment == "after_step" and (run.epoch, run.batch) == (self.epoch, 2):
            run.stop("enough")

    def after_epoch(self, run: Run) -> None:
        if self.moment == "after_epoch" and run.epoch == self.epoch:
            run.stop("enough")


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_four_moments_come_in_order(tmp_path: Path) -> None:
    diary = Diary()
    toy_trainer(tmp_path, epochs=2, eval_interval=2, hooks=[diary]).run()
    assert diary.calls == [
        ("before", 0, 0),
        *[("step", 1, batch) for batch in range(1, BATCHES + 1)],
        ("epoch", 1, BATCHES, False, False),
        *[("step", 2, batch) for batch in range(1, BATCHES + 1)],
        ("epoch", 2, BATCHES, True, True),
        ("after", 2, True),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nominal_batch": 4},
        {"nominal_batch": 12, "epochs": 2},
        {"nominal_batch": 16, "warmup": {"epochs": 0.0}},
        {"nominal_batch": 40, "epochs": 1},
        {"nominal_batch": 1},
    ],
)
def test_total_steps_are_those_that_are_taken(changes: dict[str, Any], tmp_path: Path) -> None:
    diary = Diary()
    summary = toy_trainer(tmp_path, hooks=[diary], **changes).run()
    assert diary.total_steps == summary.steps


def test_hooks_need_not_have_all_methods(tmp_path: Path) -> None:
    class Half:
        seen = 0

        def after_epoch(self, run: Run) -> None:
            self.seen += 1

    half = Half()
    toy_trainer(tmp_path, epochs=2, hooks=[half]).run()
    assert half.seen == 2


def test_a_batch_that_is_left_out_is_no_step(tmp_path: Path) -> None:
    diary = Diary()
    toy_trainer(tmp_path, epochs=1, criterion=Poison(1, 3), non_finite="skip", hooks=[diary]).run()
    assert [call[2] for call in diary.calls if call[0] == "step"] == [1, 3, 5]


def test_only_the_first_process_has_hooks(tmp_path: Path) -> None:
    diary = Diary()
    trainer = toy_trainer(tmp_path, epochs=1, hooks=[diary])
    trainer.ranks = Ranks(rank=1)
    trainer.__post_init__()
    trainer.run()
    assert diary.calls == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("moment", "count", "place"),
    [
        ("after_step", 1, (0, 1)),
        ("after_step", 7, (1, 2)),
        ("after_step", 15, (2, 5)),
        ("after_epoch", 1, (1, 0)),
        ("after_epoch", 3, (3, 0)),
    ],
)
def test_a_broken_hook_ends_the_training_with_its_state_saved(
    moment: str, count: int, place: tuple[int, int], tmp_path: Path
) -> None:
    expected = straight(tmp_path / "straight", {})
    path = tmp_path / "broken"
    diary = Diary()
    trainer = toy_trainer(path, hooks=[Broken(moment, count), diary], checkpoint_minutes=60.0)
    with pytest.raises(HookError) as caught:
        trainer.run()
    message = str(caught.value)
    assert f"Broken failed in {moment}: ZeroDivisionError: division by zero (test_hook" in message
    assert f"the state is saved, continue with --resume {path}" in message
    assert "\n" not in message
    assert isinstance(caught.value, UserError)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    state = load_state(path / "last")
    assert (state["epoch"], state["batch"]) == place
    assert len(rows(path)) == place[0] if place[0] else not (path / "metrics.csv").exists()
    assert diary.calls[-1][0] == "after"  # the other hooks are told, and were before
    assert diary.steps == place[0] * BATCHES + place[1]
    resumed = toy_trainer(path, seed=7)
    resumed.resume()
    resumed.run()
    assert outcome(path, resumed) == expected


def test_the_first_of_several_failures_is_told(tmp_path: Path) -> None:
    first = Broken("after_epoch", error=UserError("disk full"))
    with pytest.raises(
        HookError, match=r"hook \S+\.Broken failed in after_epoch: disk full \(.*--resume"
    ):
        toy_trainer(tmp_path, hooks=[first, Broken("after_epoch")]).run()
    assert load_state(tmp_path / "last")["epoch"] == 1


def test_what_a_hook_of_ours_says_stands_as_it_is(tmp_path: Path) -> None:
    own = Broken("after_epoch", error=UserError("the disk is full"))
    type(own).__module__, before = "utils.engine.hooks.any", type(own).__module__
    try:
        with pytest.raises(UserError) as caught:
            toy_trainer(tmp_path, hooks=[own]).run()
    finally:
        type(own).__module__ = before
    said = f"the disk is full; the state is saved, continue with --resume {tmp_path}"
    assert str(caught.value) == said
    assert load_state(tmp_path / "last")["epoch"] == 1


def test_a_hook_broken_from_the_start_trains_nothing(tmp_path: Path) -> None:
    diary = Diary()
    with pytest.raises(HookError, match=r"Broken failed in before_training: Zero.*line \d+\)$"):
        toy_trainer(tmp_path, hooks=[Broken("before_training"), diary]).run()
    assert diary.calls == [("before", 0, 0), ("after", 0, False)]


def test_a_hook_broken_when_a_run_goes_on_names_the_run(tmp_path: Path) -> None:
    with pytest.raises(HookError):
        toy_trainer(tmp_path, hooks=[Broken("after_epoch")]).run()
    resumed = toy_trainer(tmp_path, hooks=[Broken("before_training")])
    resumed.resume()
    with pytest.raises(HookError, match=r"failed in before_training: .*--resume \S+$"):
        resumed.run()


def test_a_hook_broken_at_the_end_is_only_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    summary = toy_trainer(tmp_path, hooks=[Broken("after_training")]).run()
    assert summary.epochs == 3
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "Broken failed in after_training" in warnings[0]


def test_what_ends_a_training_is_not_hidden_by_a_hook(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        toy_trainer(
            tmp_path, batches=dies_before((0, 2)), hooks=[Broken("after_training"), Diary()]
        ).run()


@pytest.mark.parametrize("checkpoint_minutes", [1e-9, 60.0])
def test_the_state_of_a_hook_is_in_the_checkpoint(
    checkpoint_minutes: float, tmp_path: Path
) -> None:
    with pytest.raises(KilledError):
        toy_trainer(
            tmp_path,
            batches=dies_before((1, 3)),
            hooks=[Diary(), Diary()],
            checkpoint_minutes=checkpoint_minutes,
        ).run()
    diaries = [Diary(), Diary(), Diary()]
    trainer = toy_trainer(tmp_path, hooks=diaries)
    trainer.resume()
    done = 8 if checkpoint_minutes < 1 else 5
    assert [diary.steps for diary in diaries] == [done, done, 0]
    trainer.run()
    assert [diary.steps for diary in diaries] == [15, 15, 15 - done]
    assert diaries[0].calls[0] == ("before", 2 if done == 8 else 1, done % BATCHES)


def test_a_state_that_cannot_be_saved_names_its_hook(tmp_path: Path) -> None:
    class Careless(Hook):
        def state(self) -> Any:
            return {"seen": {1, 2}}

    with pytest.raises(HookError, match=r"Careless failed in state: .*cannot save set"):
        toy_trainer(tmp_path, hooks=[Careless()]).run()
    assert load_state(tmp_path / "last")["epoch"] == 1


def test_a_state_that_a_hook_cannot_take_names_it(tmp_path: Path) -> None:
    toy_trainer(tmp_path, epochs=1, hooks=[Diary()]).run()

    class Diary2(Diary):
        def load_state(self, state: dict[str, int]) -> None:
            self.steps = state["pages"]

    Diary2.__qualname__ = Diary.__qualname__
    with pytest.raises(HookError, match=r"Diary failed in load_state: KeyError: 'pages'"):
        toy_trainer(tmp_path, hooks=[Diary2()]).resume()


@pytest.mark.parametrize("interval", [1, 3])
@pytest.mark.parametrize("moment", ["after_step", "after_epoch"])
def test_a_hook_may_end_the_training(
    moment: str, interval: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        summary = toy_trainer(
            tmp_path, epochs=9, eval_interval=interval, hooks=[Stopper(moment, 2)]
        ).run()
    assert "stopping early: enough" in caplog.text
    assert (summary.epochs, len(rows(tmp_path))) == (2, 2)
    assert summary.best_result is not None
    assert load_weights(tmp_path / "best.safetensors")[1]["epoch"] == summary.best_epoch
    state = load_state(tmp_path / "last")
    assert (state["epoch"], state["batch"]) == (2, 0)
    trainer = toy_trainer(tmp_path, epochs=4)
    trainer.resume()
    assert trainer.run().epochs == 4


def test_ended_without_validation_the_last_weights_are_kept(tmp_path: Path) -> None:
    toy_trainer(tmp_path, evaluate=None, hooks=[Stopper("after_epoch", 2)]).run()
    assert load_weights(tmp_path / "best.safetensors")[1]["epoch"] == 2


def test_a_hook_may_ask_for_a_checkpoint(tmp_path: Path) -> None:
    class Saver(Hook):
        def after_step(self, run: Run, losses: LossTerms) -> None:
            if (run.epoch, run.batch) == (2, 2):
                run.save()

    with pytest.raises(KilledError):
        toy_trainer(
            tmp_path,
            batches=ToyBatches(dies_before((1, 4)).before_batch),
            hooks=[Saver()],
            checkpoint_minutes=60.0,
        ).run()
    state = load_state(tmp_path / "last")
    assert (state["epoch"], state["batch"]) == (1, 2)


def test_hooks_of_one_class_have_states_of_their_own() -> None:
    first, second = Diary(), Diary()
    first.steps, second.steps = 3, 4
    states = HookCalls([first, second]).state()
    HookCalls([second, first]).load_state(states)
    assert (first.steps, second.steps) == (4, 3)
