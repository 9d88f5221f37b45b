"""What other programs take, on a machine whose counters are made up."""

import os
from collections import namedtuple
from types import SimpleNamespace

import psutil
import pytest

from utils.runtime.machine import load
from utils.runtime.machine.load import (
    CoreUse,
    LoadMeter,
    choose_threads,
    read_core_use,
    threads_beside,
)

Times = namedtuple("Times", "user nice system idle iowait irq softirq steal guest guest_nice")
OwnTimes = namedtuple("OwnTimes", "user system children_user children_system")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> "Machine":
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return Machine(monkeypatch)


class Machine:
    """`cores` of which other programs keep `taken` busy; we compute on `own` of them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.cores, self.taken, self.own = 2, 0.0, 0.0
        self.elsewhere = 0.0
        self.now, self.seen, self.mine, self.foreign = 1000.0, 0.0, 0.0, 0.0
        self.slept = 0.0
        patch.setattr(os, "sched_getaffinity", lambda pid: set(range(self.cores)), raising=False)
        patch.setattr(load.time, "monotonic", lambda: self.now)
        patch.setattr(load.time, "sleep", self.sleep)
        patch.setattr(psutil, "cpu_count", lambda: self.cores + 1)
        patch.setattr(psutil, "cpu_times", self.times)
        patch.setattr(psutil, "Process", lambda: self.process)
        load._from_start.clear()

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        self.seen += seconds * (self.taken + self.own)
        self.mine += seconds * self.own
        self.foreign += seconds * self.elsewhere

    def times(self, percpu: bool) -> list[Times]:
        """All is computed on core 0, a tenth of it in the kernel; the last core is not ours."""
        assert percpu
        mixed = Times(0.5 * self.seen, 0.2 * self.seen, 0.1 * self.seen, 1e4, 1e3,
                      0.05 * self.seen, 0.05 * self.seen, 0.1 * self.seen, 77.0, 7.0)  # fmt: skip
        idle = Times(5.0, 0.0, 1.0, 1e4, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        foreign = idle._replace(user=self.foreign)
        return [mixed, *[idle] * (self.cores - 1), foreign]

    @property
    def process(self) -> SimpleNamespace:
        """This process did a quarter, a live child a half, and ended ones of both the rest."""

        def gone() -> OwnTimes:
            raise psutil.NoSuchProcess(1)

        quarter = OwnTimes(0.2 * self.mine, 0.05 * self.mine, 0.1 * self.mine, 0.0)
        rest = OwnTimes(0.4 * self.mine, 0.1 * self.mine, 0.0, 0.15 * self.mine)
        children = [SimpleNamespace(cpu_times=lambda: rest), SimpleNamespace(cpu_times=gone)]
        return SimpleNamespace(cpu_times=lambda: quarter, children=lambda recursive: children)


@pytest.mark.parametrize(("taken", "own"), [(0.0, 0.0), (1.0, 0.0), (0.3, 1.6), (0.0, 2.0)])
def test_what_we_compute_ourselves_is_no_load(machine: Machine, taken: float, own: float) -> None:
    machine.taken, machine.own = taken, own
    machine.pass_by(100)
    meter = LoadMeter()
    machine.pass_by(4)
    assert meter.cores_taken() == pytest.approx(taken, abs=1e-9)
    machine.taken = 0.7
    machine.pass_by(10)
    assert meter.cores_taken() == pytest.approx(0.7)


def test_cores_that_are_not_ours_do_not_count(machine: Machine) -> None:
    machine.elsewhere = 1.0
    meter = LoadMeter()
    machine.pass_by(5)
    assert meter.cores_taken() == 0


def test_counters_that_stand_or_run_back_give_nothing() -> None:
    readings = iter([CoreUse(5.0, 10.0, 3.0), CoreUse(5.0, 10.0, 3.0), CoreUse(6.0, 9.0, 3.0)])
    meter = LoadMeter(lambda: next(readings))
    assert meter.cores_taken() == meter.cores_taken() == 0


@pytest.mark.parametrize(
    ("cores", "taken", "threads"),
    [(1, 0.0, 1), (1, 1.0, 1), (2, 0.0, 2), (2, 0.4, 2), (2, 0.5, 1), (2, 1.0, 1), (2, 2.0, 1),
     (8, 0.2, 8), (8, 1.0, 7), (8, 3.4, 5), (8, 3.6, 4), (8, 9.0, 1)],
)  # fmt: skip
def test_cores_that_are_taken_are_left_out(
    machine: Machine, cores: int, taken: float, threads: int
) -> None:
    machine.cores = cores
    assert threads_beside(taken) == threads


@pytest.mark.parametrize(("taken", "threads", "said"), [(1.0, 1, "1.0 of 2"), (0.1, 2, "0.1 of 2")])
def test_a_choice_waits_as_long_as_a_measurement_takes(
    machine: Machine, taken: float, threads: int, said: str
) -> None:
    machine.taken = taken
    choice = choose_threads()
    assert (choice.threads, machine.slept) == (threads, load.SHORTEST_S)
    assert f"other programs keep {said} cores busy" in choice.reason


def test_a_choice_does_not_wait_where_the_start_was_measured(machine: Machine) -> None:
    machine.taken = 1.0
    load.begin_measuring_load()
    machine.pass_by(8)
    assert (choose_threads().threads, machine.slept) == (1, 0)
    machine.taken = 0.0
    assert choose_threads().threads == 2  # that start is used up
    assert machine.slept > 0


def test_an_old_start_says_nothing_of_now(machine: Machine) -> None:
    machine.taken = 1.0
    load.begin_measuring_load()
    machine.pass_by(load.LONGEST_S + 1)
    machine.taken = 0.0
    assert (choose_threads().threads, machine.slept) == (2, load.SHORTEST_S)


def test_what_the_user_states_needs_no_measurement(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.taken = 1.0
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert (choose_threads().threads, choose_threads().reason) == (2, "$OMP_NUM_THREADS")
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert choose_threads().threads == 1
    machine.cores, machine.slept = 1, 0.0
    assert (choose_threads().threads, machine.slept) == (1, 0)


def test_a_real_machine_has_counters() -> None:
    first = read_core_use()
    sum(range(200_000))
    second = read_core_use()
    assert second.at > first.at > 0
    assert second.total >= first.total > 0
    assert second.own >= first.own > 0
