"""The way a comparison runs: simultaneous runs (`jobs`), threads and precision of all runs."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from commands.compare.forecast import rounds_left, time_sentence
from commands.compare.side_by_side import Measured, in_order, is_outdone, measure_ways
from configs.reading.design import LoadedDesign
from utils.comparison.runs.execution import (
    Execution,
    Way,
    best_way,
    keep_execution,
    read_execution,
    ways_to_try,
)
from utils.comparison.runs.plan import PlannedRun
from utils.comparison.runs.stored_evaluation import is_judged
from utils.engine.precision import precision_name
from utils.runtime.errors import UserError
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.environment import cpu_name
from utils.runtime.machine.load import choose_threads
from utils.runtime.machine.threads import available_cores, stated_threads

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How the runs of a comparison are executed here."""

    jobs: int
    """Runs at a time."""
    settings: tuple[str, ...] = ()
    """What every run is told besides its own settings: number of threads, precision."""
    run_s: float | None = None
    """Seconds that a run takes by a trial; None where nothing was tried."""


def settle_way(
    design: LoadedDesign,
    folder: Path,
    runs: Sequence[PlannedRun],
    trials: Sequence[Path],
    *,
    keeps: bool,
) -> Settled:
    """Decide how the remaining runs are executed, and log how long they take.

    What `jobs: auto` chose on this machine, and threads and precision of all runs, are taken from
    the folder when a comparison is continued; what the user states goes before.

    Args:
        design: the comparison.
        folder: its folder.
        runs: its training runs.
        trials: folders of those of the tuning before.
        keeps: write the decision to the folder.

    Raises:
        UserError: the training cannot be tried, or arms differ in what has to be equal.
    """
    stated, kept = _stated_threads(design), read_execution(folder)
    if isinstance(stated, int) and kept.threads not in (None, stated):
        logger.warning(
            "train.threads is %d now, earlier runs had %d: last digits may differ between them",
            stated,
            kept.threads,
        )
    left = sum(not run.is_done for run in runs) or sum(not is_judged(path) for path in trials)
    decided = stated if isinstance(stated, int) else kept.threads
    measured: list[Measured] = []
    jobs = _known_jobs(design, kept, stated)
    if jobs is None and left:
        measured = _try_ways(design, ways_to_try(available_cores(), left, threads=decided))
        tried = [one.tried for one in measured]
        best = best_way(tried, left)
        jobs, decided = best.way.jobs, best.way.threads
        kept = kept.with_choice(_machine(), best, tried)
    jobs = jobs or 1
    threads = decided or _threads_for(jobs, stated)
    own = replace(
        kept,
        threads=None if stated == "own" else threads,
        precision=kept.precision or _precision_for(design),
    )
    agreed = keep_execution(folder, own, goes_before=isinstance(stated, int)) if keeps else own
    if agreed.threads not in (None, threads):  # another machine was quicker to decide
        threads = agreed.threads
        jobs = max(1, available_cores() // threads) if design.settings.jobs == "auto" else jobs
    found = _of_way(design, measured, Way(jobs=min(jobs, max(left, 1)), threads=threads), left)
    for one in found:
        rounds = rounds_left(design.settings, runs, trials, jobs)
        logger.info("%s", time_sentence(one, rounds))
    return Settled(
        jobs=jobs,
        settings=agreed.settings,
        run_s=found[0].tried.run_s if found else None,
    )


def _try_ways(design: LoadedDesign, ways: Sequence[Way]) -> list[Measured]:
    """Measure the ways that may be the fastest, and log which they are."""
    first, *others = in_order(ways)
    tries = [first, *(way for way in others if not is_outdone(way, others))]
    logger.info("jobs: auto tries %s", "; ".join(map(str, tries)))
    return measure_ways(*_training(design), ways)


def _of_way(
    design: LoadedDesign, measured: Sequence[Measured], way: Way, left: int
) -> list[Measured]:
    """Return the measurement of the chosen way; measured now if it was not tried."""
    if not left:
        return []
    if design.settings.engine == "ray":  # this machine need not be one that trains
        way = replace(way, jobs=1)
    known = [one for one in measured if one.way == way]
    return known or measure_ways(*_training(design), [way])


def _machine() -> str:
    return f"{cpu_name()}, {available_cores()} cores"


def _known_jobs(design: LoadedDesign, kept: Execution, stated: int | str) -> int | None:
    """Return the number of simultaneous runs if set or chosen here before; None if to be tried."""
    if design.settings.jobs != "auto":
        return design.settings.jobs
    if stated == "own":
        raise UserError(
            "jobs: auto chooses one number of threads for all runs, but the arms differ in "
            "train.threads, or set adaptive; state jobs as a number"
        )
    return 1 if _computes_on_gpu(design) else kept.jobs_on(_machine())


def _training(design: LoadedDesign) -> tuple[Path, tuple[str, ...]]:
    """Return experiment and settings of the run that represents all others."""
    return design.experiment_path, design.overrides(design.settings.baseline)


def _stated_threads(design: LoadedDesign) -> int | str:
    """Return the number of threads that the user sets for all arms.

    `own` where arms differ in theirs or change them on the way, `all` for 0, which means all cores,
    `auto` where nothing is stated.
    """
    found = {loaded.experiment.train.threads for loaded in design.arms.values()}
    if len(found) > 1 or "adaptive" in found:
        return "own"
    (threads,) = found
    return "all" if threads == 0 else threads


def _threads_for(jobs: int, stated: int | str) -> int:
    """Return the threads of each of so many runs at a time, where none were decided before."""
    if jobs > 1:
        return max(1, available_cores() // jobs)
    if stated == "auto":
        choice = choose_threads()
        logger.info("train.threads = %d for all runs: %s", choice.threads, choice.reason)
        return choice.threads
    return stated_threads() or available_cores()


def _precision_for(design: LoadedDesign) -> str | None:
    """Return the precision of all runs where the design leaves it to the machine, else None.

    None on a cluster, too: this machine need not be one that trains.
    """
    found = {loaded.experiment.train.precision for loaded in design.arms.values()}
    if found != {"auto"} or design.settings.engine == "ray":
        return None
    return precision_name("auto", _device(design))


def _computes_on_gpu(design: LoadedDesign) -> bool:
    return _device(design).type != "cpu"


def _device(design: LoadedDesign) -> torch.device:
    return choose_device(design.arms[design.settings.baseline].experiment.train.device)
