"""A machine made of numbers: how long a batch takes with so many threads; what is chosen."""

import pytest

from utils.runtime.machine.thread_trials import PERIOD, TRIED, ThreadTrials, thread_choices


class Machine:
    """Work takes `seconds[threads]` for each unit, and 50 more after a change of threads."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.threads = 0
        self.applied: list[int] = []
        self.trials = ThreadTrials(tuple(seconds), self.apply, lambda: self.now)

    def apply(self, threads: int) -> None:
        self.threads = threads
        self.applied.append(threads)
        self.now += 50.0

    def run(self, batches: int, amount: int = 1) -> None:
        for _ in range(batches):
            with self.trials.batch(amount):
                self.now += self.seconds[self.threads] * amount


@pytest.mark.parametrize(
    ("seconds", "expected"), [({2: 1.0, 1: 1.8}, 2), ({2: 4.0, 1: 1.0}, 1), ({1: 1.0}, 1)]
)
def test_the_fastest_is_kept(seconds: dict[int, float], expected: int) -> None:
    machine = Machine(seconds)
    machine.run(PERIOD)
    assert machine.trials.chosen == machine.threads == expected
    assert machine.applied == [*seconds, expected]


def test_a_change_of_the_machine_is_noticed_at_the_next_trial() -> None:
    machine = Machine({4: 1.0, 2: 2.0, 1: 3.0})
    machine.run(PERIOD)
    machine.seconds = {4: 9.0, 2: 8.0, 1: 3.0}
    machine.run(PERIOD - 1)
    assert machine.threads == 1
    machine.seconds = {4: 1.0, 2: 2.0, 1: 3.0}
    machine.run(1 + 3 * TRIED)
    assert machine.threads == 4


def test_a_batch_that_prepares_operators_does_not_count() -> None:
    machine = Machine({2: 1.0, 1: 2.0})
    with machine.trials.batch(1):
        machine.now += 1000.0
    machine.run(2 * TRIED - 1)
    assert machine.trials.chosen == 2


def test_larger_batches_are_not_slower_threads() -> None:
    machine = Machine({2: 1.0, 1: 1.5})
    machine.run(TRIED, amount=10)
    machine.run(TRIED, amount=1)
    assert machine.trials.chosen == 2


def test_a_failing_batch_is_no_trial() -> None:
    machine = Machine({2: 1.0, 1: 2.0})
    with pytest.raises(ZeroDivisionError), machine.trials.batch(1):
        raise ZeroDivisionError
    machine.run(2 * TRIED)
    assert machine.trials.chosen == 2


@pytest.mark.parametrize(
    ("cores", "expected"), [(1, (1,)), (2, (2, 1)), (3, (3, 1)), (16, (16, 8, 1)), (0, (1,))]
)
def test_choices(cores: int, expected: tuple[int, ...]) -> None:
    assert thread_choices(cores) == expected
