import logging
from types import SimpleNamespace
from typing import Any

import pytest

from utils.engine.hooks import console
from utils.engine.hooks.console import ESTIMATED_AFTER, Console


def lines_after(batches: int, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> list[str]:
    """Return what is logged on batches of two seconds, the first of which took an hour."""
    ticks = iter([3600.0 + 2.0 * number for number in range(batches)])
    monkeypatch.setattr(console, "perf_counter", lambda: next(ticks))
    hook = Console()
    run: Any = SimpleNamespace(
        settings=SimpleNamespace(epochs=3), batches_per_epoch=10, position=0.0, batch=0
    )
    with caplog.at_level(logging.INFO):
        for batch in range(1, batches + 1):
            run.batch, run.position = batch, batch / 10
            hook.after_step(run, SimpleNamespace())  # type: ignore[arg-type]
    return [record.getMessage() for record in caplog.records]


def test_the_length_of_the_run_is_estimated_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # perf_counter is read at the first batch and at the last of those measured: 2 s between them.
    found = lines_after(9, monkeypatch, caplog)
    assert found == [
        f"about 0:12 left for 3 epochs, estimated from the first {ESTIMATED_AFTER} batches; "
        "evaluation not included"
    ]  # 25 of 30 batches of 0.5 s


def test_a_run_of_few_batches_has_no_estimate(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert lines_after(ESTIMATED_AFTER - 1, monkeypatch, caplog) == []


class _Bar:
    disable = True
    n = 0

    def update(self, number: int) -> None:
        self.n += number

    def close(self) -> None: ...


def test_a_log_without_terminal_gets_a_line_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [1000.0]
    monkeypatch.setattr(console, "monotonic", lambda: now[0])
    monkeypatch.setattr(console, "progress_bar", lambda *_, **__: _Bar())
    monkeypatch.setattr(console, "used_memory", lambda device: 3 << 30)
    hook = Console()
    run: Any = SimpleNamespace(
        settings=SimpleNamespace(epochs=3),
        batches_per_epoch=1000,
        position=0.0,
        batch=0,
        epoch=0,
        is_finished=False,
        place="epoch 1, batch 65/1000",
        metrics={},
        learning_rate=0.01,
        learner=SimpleNamespace(device="cpu"),
        losses=SimpleNamespace(means=lambda: {"box": 0.5}),
        clock=SimpleNamespace(epoch_speed=12.0),
    )
    hook.before_training(run)
    with caplog.at_level(logging.INFO):
        for batch in range(1, 131):  # a second each
            now[0] += 1.0
            run.batch, run.position = batch, batch / 1000
            hook.after_step(run, SimpleNamespace())  # type: ignore[arg-type]
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("epoch 1, batch")]
    assert len(lines) == 2
    assert "box 0.5000 lr 0.01 12 img/s 3 GiB" in lines[0]
    assert lines[0].endswith(" left")
