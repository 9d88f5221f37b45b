from types import SimpleNamespace
from typing import Any

import pytest

from utils.engine.hooks.early_stopping import EarlyStopping
from utils.engine.run import Best


class Scores:
    """Stands for a run: what the hook reads of one, epoch by epoch, and where it was stopped."""

    def __init__(self) -> None:
        self.epoch = 0
        self.best: Best | None = None
        self.metrics: dict[str, float | None] = {}
        self.reasons: list[str] = []

    def stop(self, reason: str) -> None:
        self.reasons.append(reason)

    def show(self, score: float | None) -> Any:
        self.epoch += 1
        self.metrics = {"map50_95": score}
        if score is not None and (self.best is None or score > self.best.score):
            self.best = Best(epoch=self.epoch, score=score, result={})
        return self


def stopped_after(patience: int, scores: list[float | None]) -> int | None:
    stopping, run = EarlyStopping(patience), Scores()
    for score in scores:
        stopping.after_epoch(run.show(score))
        if run.reasons:
            assert run.reasons == [f"no better mAP50-95 for {patience} epochs"]
            return run.epoch
    return None


@pytest.mark.parametrize(
    ("patience", "scores", "epoch"),
    [
        (2, [0.1, 0.3, 0.3, 0.2, 0.9], 4),
        (3, [0.0, 0.0, 0.0], None),
        (1, [0.5, 0.5], 2),
        (1, [0.1, 0.2, 0.3, 0.4], None),
        (4, [None, 0.5, None, 0.4, None, None, None, 0.4], 8),  # epochs count, not evaluations
        (2, [None, None, None, None], None),
    ],
)
def test_stops_when_patience_epochs_brought_nothing_better(
    patience: int, scores: list[float | None], epoch: int | None
) -> None:
    assert stopped_after(patience, scores) == epoch


def test_a_training_that_had_stopped_stops_again_when_resumed() -> None:
    first, second, run = EarlyStopping(2), EarlyStopping(2), Scores()
    for score in (0.5, 0.4):
        first.after_epoch(run.show(score))
    second.load_state(first.state())
    second.before_training(run)  # type: ignore[arg-type]
    assert run.reasons == []
    second.after_epoch(run.show(0.5))
    third = EarlyStopping(2)
    third.load_state(second.state())
    third.before_training(run)  # type: ignore[arg-type]
    assert len(run.reasons) == 2
    EarlyStopping(2).before_training(SimpleNamespace(best=run.best))  # type: ignore[arg-type]
