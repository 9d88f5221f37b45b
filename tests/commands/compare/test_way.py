"""`jobs` and threads of a comparison: chosen, stated, kept, continued."""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import torch

from commands.compare import way as way_module
from commands.compare.measured_training import StepTimes
from commands.compare.run import planned_runs
from commands.compare.side_by_side import Measured
from commands.compare.way import Settled, settle_way
from configs.reading.design import LoadedDesign, load_design
from tests.commands.compare.test_comparison_parts import yolo_data
from utils.comparison.runs.execution import EXECUTION_NAME, Way
from utils.runtime.errors import UserError
from utils.runtime.machine.load import ThreadChoice
from utils.runtime.progress import format_duration

DESIGN = """
experiment: experiment.yaml
arms: {a: {}, b: {train.epochs: 7}}
baseline: a
seeds: [0, 1]
"""
SIDE_BY_SIDE = {(1, 2): 60.0, (1, 1): 100.0, (2, 1): 105.0}
ALONE = {(1, 2): 60.0, (1, 1): 100.0, (2, 1): 130.0}


class Machine:
    """Two cores, and how long a step takes with so many runs and threads."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seconds: Mapping[tuple[int, int], float] = SIDE_BY_SIDE
        self.tried: list[list[tuple[int, int]]] = []
        self.name, self.cores, self.idle_threads = "one", 2, 2
        self.precision = "float32"
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.setattr(way_module, "available_cores", lambda: self.cores)
        patch.setattr(way_module, "cpu_name", lambda: self.name)
        patch.setattr(way_module, "choose_device", lambda name: torch.device("cpu"))
        patch.setattr(way_module, "measure_ways", self.measure)
        patch.setattr(way_module, "precision_name", lambda name, device: self.precision)
        patch.setattr(
            way_module, "choose_threads", lambda: ThreadChoice(self.idle_threads, "so busy")
        )

    def measure(
        self, experiment: Path, overrides: Sequence[str], ways: Sequence[Way]
    ) -> list[Measured]:
        self.tried.append([(way.jobs, way.threads) for way in ways])
        seconds = [self.seconds.get((way.jobs, way.threads), 50.0) for way in ways]
        return [
            Measured(way=way, times=StepTimes.of([s]), mean_s=s, steps=10, besides_s=5.0)
            for way, s in zip(ways, seconds, strict=True)
        ]


def told(threads: int, precision: str = "float32") -> tuple[str, str]:
    return f"train.threads={threads}", f"train.precision={precision}"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


@pytest.fixture
def design(tmp_path: Path) -> Callable[..., LoadedDesign]:
    data = yolo_data(tmp_path / "set")
    (tmp_path / "graph.yaml").write_text("nc: 80\nanchors: [[10, 13]]\nbackbone: []\nhead: []\n")
    (tmp_path / "experiment.yaml").write_text(f"data: {data}\nmodel: {{graph: graph.yaml}}\n")
    (tmp_path / "design.yaml").write_text(DESIGN)
    return lambda *overrides: load_design(tmp_path / "design.yaml", overrides)


@pytest.fixture
def settle(tmp_path: Path, design: Callable[..., LoadedDesign]) -> Callable[..., Settled]:
    def settled(*overrides: str, keeps: bool = True, done: int = 0) -> Settled:
        loaded, folder = design(*overrides), tmp_path / "comparison"
        folder.mkdir(exist_ok=True)
        runs = planned_runs(loaded, folder, (), {})
        for run in runs[:done]:
            (run.folder / "judged").mkdir(parents=True, exist_ok=True)
            (run.folder / "judged" / "test.json").write_text("{}")
        return settle_way(loaded, folder, runs, (), keeps=keeps)

    return settled


@pytest.mark.parametrize(
    ("seconds", "expected"), [(SIDE_BY_SIDE, (2, 1)), (ALONE, (1, 2)), ({(1, 1): 9.0}, (1, 1))]
)
def test_auto_takes_what_is_done_soonest_and_says_the_whole_time(
    seconds: Mapping[tuple[int, int], float],
    expected: tuple[int, int],
    machine: Machine,
    settle: Callable[..., Settled],
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine.seconds = seconds
    with caplog.at_level(logging.INFO):
        settled = settle("jobs=auto")
    jobs, threads = expected
    assert (settled.jobs, settled.settings) == (jobs, told(threads))
    assert machine.tried == [[(1, 2), (1, 1), (2, 1)]]  # and not once more for the forecast
    run_s = 10 * seconds[expected] + 5
    assert settled.run_s == run_s
    whole = format_duration(4 // jobs * run_s)
    assert caplog.messages[-1].endswith(f"all that is left {whole}")


def test_a_continued_comparison_takes_what_it_has_kept(
    machine: Machine, settle: Callable[..., Settled]
) -> None:
    settle("jobs=auto")
    machine.seconds, machine.idle_threads = ALONE, 1
    continued = settle("jobs=auto", done=1)
    assert (continued.jobs, continued.settings) == (2, told(1))
    assert machine.tried[1:] == [[(2, 1)]]  # for the forecast alone
    nothing_left = settle("jobs=auto", done=4)
    assert (nothing_left.jobs, nothing_left.run_s) == (2, None)
    assert len(machine.tried) == 2


def test_another_machine_takes_the_threads_and_its_own_number_of_runs(
    machine: Machine, settle: Callable[..., Settled]
) -> None:
    settle("jobs=auto")
    machine.name, machine.cores = "two", 8
    machine.seconds = {(1, 1): 100.0, (2, 1): 100.0, (4, 1): 110.0}
    settled = settle("jobs=auto")
    assert machine.tried[-1] == [(1, 1), (2, 1), (4, 1)]
    assert (settled.jobs, settled.settings) == (4, told(1))
    machine.name, machine.cores = "one", 2
    assert settle("jobs=auto").jobs == 2


@pytest.mark.parametrize(
    ("overrides", "jobs", "threads", "tried"),
    [
        (("jobs=2",), 2, 1, [(2, 1)]),
        (("jobs=1",), 1, 2, [(1, 2)]),
        (("jobs=3",), 3, 1, [(3, 1)]),
        (("jobs=1", "train.threads=1"), 1, 1, [(1, 1)]),
        (("jobs=2", "train.threads=2"), 2, 2, [(2, 2)]),
        (("jobs=9", "train.threads=0"), 9, 1, [(4, 1)]),
        (("jobs=1", "train.threads=0"), 1, 2, [(1, 2)]),
        (("jobs=auto", "train.threads=1"), 2, 1, [(1, 1), (2, 1)]),
        (("jobs=auto", "train.threads=2"), 1, 2, [(1, 2)]),
    ],
)
def test_numbers_that_the_user_states_stay(
    overrides: tuple[str, ...],
    jobs: int,
    threads: int,
    tried: list[tuple[int, int]],
    machine: Machine,
    settle: Callable[..., Settled],
) -> None:
    settled = settle(*overrides)
    assert (settled.jobs, settled.settings) == (jobs, told(threads))
    assert machine.tried == [tried]


def test_one_run_at_a_time_leaves_busy_cores_out_and_later_does_the_same(
    machine: Machine, settle: Callable[..., Settled]
) -> None:
    machine.idle_threads = 1
    assert settle().settings == told(1)
    machine.idle_threads = 2
    assert settle().settings == told(1)
    assert settle("jobs=2").settings == told(1)
    assert settle("jobs=1", "train.threads=2").settings == told(2)
    assert settle().settings == told(2)  # stated once, kept from then on


def test_other_threads_than_in_earlier_runs_are_warned_of(
    machine: Machine, settle: Callable[..., Settled], caplog: pytest.LogCaptureFixture
) -> None:
    settle("train.threads=1")
    assert not caplog.records
    settle("train.threads=2")
    assert "train.threads is 2 now, earlier runs had 1" in caplog.text


def test_arms_that_state_their_own_threads_keep_them(
    machine: Machine, settle: Callable[..., Settled], tmp_path: Path
) -> None:
    settled = settle("jobs=2", "arms.b.train.threads=2")
    assert (settled.jobs, settled.settings) == (2, ("train.precision=float32",))
    kept = json.loads((tmp_path / "comparison" / EXECUTION_NAME).read_text())
    assert kept == {"threads": None, "precision": "float32", "machines": {}}
    for own in ("arms.b.train.threads=2", "train.threads=adaptive"):
        with pytest.raises(UserError, match="jobs: auto chooses one number of threads"):
            settle("jobs=auto", "train.deterministic=false", own)


@pytest.mark.parametrize("own", [(), ("arms.b.train.threads=2",)])
def test_runs_on_a_machine_that_joins_compute_in_the_same_precision(
    own: tuple[str, ...], machine: Machine, settle: Callable[..., Settled]
) -> None:
    machine.precision = "bf16"
    first = settle("jobs=2", *own)
    machine.name, machine.precision = "two", "float32"
    assert settle("jobs=2", *own).settings == first.settings
    assert "train.precision=bf16" in first.settings


@pytest.mark.parametrize(
    "stated", [("train.precision=bf16",), ("arms.b.train.precision=bf16",), ("engine=ray",)]
)
def test_a_precision_that_the_design_states_or_leaves_to_a_cluster_stays(
    stated: tuple[str, ...], machine: Machine, settle: Callable[..., Settled]
) -> None:
    machine.precision = "fp16"
    assert settle("jobs=2", *stated).settings == ("train.threads=1",)


def test_a_gpu_computes_one_run_at_a_time(
    machine: Machine, settle: Callable[..., Settled], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way_module, "choose_device", lambda name: torch.device("cuda"))
    assert settle("jobs=auto").jobs == 1
    assert settle("jobs=3").jobs == 3


def test_a_plan_keeps_nothing(
    machine: Machine, settle: Callable[..., Settled], tmp_path: Path
) -> None:
    assert settle("jobs=auto", keeps=False).jobs == 2
    assert not (tmp_path / "comparison" / EXECUTION_NAME).exists()


def test_a_machine_that_was_quicker_decides_the_threads(
    machine: Machine,
    settle: Callable[..., Settled],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both begin at once; the other one has kept its decision while this one still tried."""
    machine.seconds = ALONE
    path = tmp_path / "comparison" / EXECUTION_NAME
    measure = machine.measure

    def meanwhile(*arguments: object) -> list[Measured]:
        path.write_text(json.dumps({"threads": 1, "machines": {}}))
        return measure(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(way_module, "measure_ways", meanwhile)
    settled = settle("jobs=auto")
    assert (settled.jobs, settled.settings) == (2, told(1))
