"""How the runs of a comparison are executed: how many side by side, each with how many threads.

The number of threads changes the last digits of sums, and the precision of the network more than
those, so a comparison has one of each for all its runs, stored beside its design; the number of
runs side by side changes times alone, and belongs to a machine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import ceil
from pathlib import Path
from typing import Any

from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_json
from utils.runtime.files.json_file import read_json_object

EXECUTION_NAME = "execution.json"
PRECISIONS = ("float32", "bf16", "fp16")
USABLE_SHARE = 0.8
"""Of the free memory."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Way:
    """So many runs at a time, each with so many compute threads."""

    jobs: int
    threads: int

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{self.jobs} at a time with {threads}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedWay:
    """What a trial of a way has measured."""

    way: Way
    run_s: float
    """Seconds that a whole run takes, estimated from its steps."""

    def seconds_for(self, runs: int) -> float:
        """Return what so many runs take: the last round is not shorter for having fewer."""
        return ceil(runs / self.way.jobs) * self.run_s


def ways_to_try(cores: int, runs: int, *, threads: int | None = None) -> list[Way]:
    """Return the ways that are worth a trial, those of one run at a time first.

    Args:
        cores: of this machine, 1 or more.
        runs: that are left to do, 1 or more.
        threads: of every run, where they are decided already.
    """
    if threads is not None:
        most = max(1, min(runs, cores // threads))
        return [Way(jobs=jobs, threads=threads) for jobs in _steps_to(most)]
    most = min(runs, cores)
    alone = {cores, max(1, cores // 2), 1}
    return [Way(jobs=1, threads=number) for number in sorted(alone, reverse=True)] + [
        Way(jobs=jobs, threads=cores // jobs) for jobs in _steps_to(most) if jobs > 1
    ]


def fitting(ways: Iterable[Way], *, free: int, each: int) -> list[Way]:
    """Return the ways whose runs fit into memory; one run at a time always counts as fitting.

    Args:
        ways: any.
        free: bytes that are free without any run.
        each: bytes that a run takes.
    """
    most = max(1, int(USABLE_SHARE * free / max(each, 1)))
    return [way for way in ways if way.jobs <= most]


def best_way(tried: Sequence[TriedWay], runs: int) -> TriedWay:
    """Return the way in which so many runs are done soonest; at a tie that of fewer at a time."""
    return min(tried, key=lambda one: (one.seconds_for(runs), one.way.jobs, one.way.threads))


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What a comparison has decided, as its folder keeps it."""

    threads: int | None = None
    """Of every run; None before it is decided, and where arms have their own."""
    precision: str | None = None
    """Of every run, `train.precision`; None where arms differ in it or have it from the design."""
    machines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By machine: `jobs` that `auto` chose there, and what it has tried."""

    @property
    def settings(self) -> tuple[str, ...]:
        """What every run is told besides its own settings."""
        found = {"train.threads": self.threads, "train.precision": self.precision}
        return tuple(f"{key}={value}" for key, value in found.items() if value is not None)

    def jobs_on(self, machine: str) -> int | None:
        """Return how many runs at a time `auto` has chosen for a machine, None if it has not."""
        return self.machines.get(machine, {}).get("jobs")

    def with_choice(self, machine: str, chosen: TriedWay, tried: Sequence[TriedWay]) -> "Execution":
        """Return the decision with that of a machine added."""
        entry = {
            "jobs": chosen.way.jobs,
            "tried": [{**asdict(one.way), "run_s": round(one.run_s, 2)} for one in tried],
        }
        machines = {**self.machines, machine: entry}
        return replace(self, threads=chosen.way.threads, machines=machines)


def read_execution(folder: Path) -> Execution:
    """Return what the folder of a comparison keeps; nothing where it keeps none.

    Raises:
        UserError: its file is damaged.
    """
    path = folder / EXECUTION_NAME
    if not path.is_file():
        return Execution(threads=_threads_of_begun(folder))
    content = read_json_object(path)
    threads, machines = content.get("threads"), content.get("machines", {})
    precision = content.get("precision")
    has_threads = type(threads) is int and threads > 0
    is_sound = has_threads if precision is None else has_threads or threads is None
    if not (is_sound and precision in (None, *PRECISIONS) and _are_machines(machines)):
        raise UserError(
            f"{path} is damaged: it has no number of threads or no known precision; remove it, and "
            "the runs that are there say their threads"
        )
    return Execution(threads=threads, precision=precision, machines=machines)


def keep_execution(folder: Path, execution: Execution, *, goes_before: bool = False) -> Execution:
    """Keep a decision in the folder of a comparison; return the one that holds.

    Args:
        folder: of the comparison.
        execution: the decision; one without threads and precision is not kept.
        goes_before: its number holds even if another machine has kept another one meanwhile, as
            what the user states does. A precision that was kept first always holds.
    """
    if execution.threads is None and execution.precision is None:
        return execution
    other = read_execution(folder)
    agreed = replace(execution, precision=other.precision or execution.precision)
    if not goes_before and other.threads not in (None, execution.threads):
        agreed = replace(agreed, threads=other.threads, machines=other.machines)
    agreed = replace(agreed, machines={**other.machines, **agreed.machines})
    write_json(folder / EXECUTION_NAME, asdict(agreed))
    return agreed


def _are_machines(machines: object) -> bool:
    return isinstance(machines, dict) and all(
        isinstance(entry, dict)
        and type(entry.get("jobs")) is int
        and entry["jobs"] > 0
        and isinstance(entry.get("tried"), list)
        and all(isinstance(one, dict) and one.keys() >= _TRIED for one in entry["tried"])
        for entry in machines.values()
    )


_TRIED = {"jobs", "threads", "run_s"}


def _threads_of_begun(folder: Path) -> int | None:
    """Return the threads of a run that began before decisions were kept, None without one."""
    for path in sorted(folder.glob("runs/*/*/environment.json")):
        threads = read_json_object(path).get("threads")
        if type(threads) is int and threads > 0:
            return threads
    return None


def _steps_to(most: int) -> list[int]:
    """Return 1, 2, 4, ... and `most`."""
    powers = [1 << k for k in range(most.bit_length())]
    return sorted({*powers, most})
