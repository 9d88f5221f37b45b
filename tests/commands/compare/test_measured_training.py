from collections.abc import Sequence
from itertools import islice

import pytest

from commands.compare.measured_training import (
    FEWEST_STEPS,
    LONG_ENOUGH_S,
    MOST_STEPS,
    SLOW_STEPS,
    TOO_LONG_S,
    MeasuredTraining,
    StepTimes,
    measure_steps,
    over_epochs,
)


def measured(waits: Sequence[float], learns: Sequence[float]) -> tuple[StepTimes, int]:
    """Return what is measured where batches take so long to come and to learn, and how many did."""
    now, learned = [100.0], []

    def batches() -> "object":
        for wait in waits:
            now[0] += wait
            yield len(learned)

    def learn(batch: object, iteration: int) -> None:
        assert batch == iteration == len(learned)
        now[0] += learns[iteration]
        learned.append(batch)

    times = measure_steps(batches(), learn, clock=lambda: now[0])  # type: ignore[arg-type]
    return StepTimes.of(times), len(learned)


def test_what_happens_once_is_left_out_and_waiting_counts() -> None:
    times, taken = measured([9.0, 1.0, *[0.5] * 50], [50.0, 7.0, *[1.5] * 50])
    assert (times.quick, times.usual, times.slow, times.measured) == (2, 2, 2, FEWEST_STEPS)
    assert taken == SLOW_STEPS + FEWEST_STEPS
    assert times.duration(300) == "10:00"


def test_quick_steps_are_measured_until_there_are_many() -> None:
    assert measured([0.0] * 500, [0.01] * 500)[1] == SLOW_STEPS + MOST_STEPS
    enough = round(LONG_ENOUGH_S / 0.25)
    assert measured([0.0] * 500, [0.25] * 500)[1] == SLOW_STEPS + enough


def test_no_more_steps_are_measured_than_asked_for() -> None:
    assert len(measure_steps(range(99), lambda *_: None, most=7)) == 7


@pytest.mark.parametrize(("run", "want"), [(8, 5), (39, 9), (1300, 40)])
def test_a_short_run_is_tried_for_a_quarter_of_it_at_most(run: int, want: int) -> None:
    training = object.__new__(MeasuredTraining)
    training.steps, training._stream = run, iter(range(99))  # type: ignore[assignment]
    training._learn = lambda *_: None  # type: ignore[method-assign]
    assert len(training.measure_steps()) == want


def test_slow_steps_are_not_waited_for() -> None:
    times, taken = measured([0.0] * 9, [TOO_LONG_S] * 9)
    assert (taken, times.usual) == (SLOW_STEPS + 1, TOO_LONG_S)


@pytest.mark.parametrize(("steps", "used"), [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_a_training_of_few_steps(steps: int, used: int) -> None:
    times, taken = measured([0.0] * steps, [8.0, 4.0, 2.0, 2.0][:steps])
    assert (taken, times.measured) == (steps, used)
    assert times.usual == {1: 8.0, 2: 4.0}.get(steps, 2.0)


def test_uneven_steps_give_a_range() -> None:
    """The forecast of one training was 10:38 once and 1:27 another time: one step was measured."""
    times = StepTimes.of([1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 30.0])
    assert (times.quick, times.slow) == (1.0, 2.0)
    assert times.duration(60) == "1:00 to 2:00"
    assert StepTimes.of([1.0, 1.1, 1.15]).duration(60) == "1:06"


def test_a_data_set_of_one_batch_is_measured_over_its_epochs() -> None:
    assert list(islice(over_epochs(lambda epoch: [10 * epoch]), 4)) == [0, 10, 20, 30]


def test_what_comes_besides_steps_counts_once() -> None:
    assert StepTimes.of([1.0, 1.1, 1.15]).duration(60, besides=30) == "1:36"
    assert StepTimes.of([1.0, 1.0, 2.0, 2.0]).duration(60, besides=30) == "1:30 to 2:30"
