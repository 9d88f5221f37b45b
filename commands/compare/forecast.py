"""Forecast of cost and power of a comparison, before training."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TypeVar

import torch

from commands.build.criterion import unscaled_criterion
from commands.build.derived_recipe import derive_recipe
from commands.build.training_start import build_training_detector
from configs.reading.design import LoadedDesign
from configs.reading.load import LoadedExperiment
from configs.schema.comparison import ComparisonSettings
from configs.schema.tuning import SearchedTrials
from data.loading.loader import build_train_batches
from data.records.load import load_split
from utils.comparison.runs.plan import PlannedRun
from utils.comparison.runs.stored_evaluation import is_judged
from utils.comparison.statistics.power import Design, planned_design, power
from utils.comparison.statistics.verdict import fewest_seeds
from utils.engine.learner import Learner
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.threads import set_threads
from utils.runtime.progress import format_duration
from utils.runtime.seeding import seed_process
from utils.structures.batch import Batch
from utils.structures.exact import move

T = TypeVar("T")
SLOW_STEPS = 2
"""Steps left out at the start: libraries prepare, workers start, memory is asked for."""
FEWEST_STEPS = 5
MOST_STEPS = 40
LONG_ENOUGH_S = 4.0
"""Seconds of measuring after which `FEWEST_STEPS` are enough."""
TOO_LONG_S = 40.0
"""Seconds of measuring after which fewer are."""
UNEVEN = 1.2
"""Ratio of slow to quick steps from which on a forecast is a range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Seconds of a step: the quicker quarter, the middle and the slower quarter of those measured.

    What the rest of a machine does, and images that are read for the first time, lie between them.
    """

    quick: float
    usual: float
    slow: float
    measured: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "StepTimes":
        """Summarise the times of single steps; at least one."""
        ranked = sorted(seconds)
        last = len(ranked) - 1
        return cls(
            quick=ranked[last // 4],
            usual=ranked[len(ranked) // 2],
            slow=ranked[last - last // 4],
            measured=len(ranked),
        )

    def duration(self, steps: float) -> str:
        """Return what so many steps take: one time, or a range where steps differ much."""
        if self.slow <= UNEVEN * self.quick:
            return format_duration(self.usual * steps)
        return f"{format_duration(self.quick * steps)} to {format_duration(self.slow * steps)}"


def forecast(
    design: LoadedDesign, runs: Sequence[PlannedRun], trials: Sequence[Path]
) -> Iterator[str]:
    """Yield sentences on the number of runs, their power, and their time.

    Args:
        design: the comparison.
        runs: its training runs.
        trials: folders of those of the tuning before; without anything left to do nothing is
            measured.
    """
    settings = design.settings
    left = sum(not run.is_done for run in runs)
    yield (
        f"{len(settings.arms)} arms x {len(settings.seeds)} "
        f"{'folds' if settings.folds else 'seeds'}: {len(runs)} training runs, "
        f"{left} of them to do, {settings.jobs} at a time"
    )
    short = 0.0
    if settings.tuning is not None:
        trials_left = sum(not is_judged(folder) for folder in trials)
        short = trials_left * settings.tuning.epochs_share / trials_at_once(settings)
        yield (
            f"tuning before that: {len(trials)} training runs of "
            f"{100 * settings.tuning.epochs_share:.0f} % of the length, {trials_left} of them to do"
        )
    yield from power_sentences(planned_design(settings), len(settings.seeds))
    if left or short:
        with _silence():
            times, steps = measure_training(design.arms[settings.baseline])
        total = steps * (left / settings.jobs + short)
        yield (
            f"one training takes about {times.duration(steps)} by {times.measured} measured "
            f"steps, all that is left {times.duration(total)}, validation not counted"
        )


def trials_at_once(settings: ComparisonSettings) -> int:
    """Return how many tuning runs are trained at a time: tpe waits for results to learn from."""
    tuning = settings.tuning
    if not isinstance(tuning, SearchedTrials):
        return settings.jobs
    return min(settings.jobs, len(settings.arms) * len(tuning.rounds[0]) * len(tuning.seeds))


@contextmanager
def _silence() -> Iterator[None]:
    """Silence the log of building a training run: every run will log it again."""
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def power_sentences(design: Design, num_seeds: int) -> Iterator[str]:
    """Yield sentences on the power of so many seeds under a design."""
    fewest = fewest_seeds(design.level, num_arms=design.num_arms, correction=design.correction)
    if num_seeds < 2:
        yield "with one seed every verdict is inconclusive: the noise between seeds is unknown"
        return
    plan = power(design, num_seeds)
    if num_seeds < fewest:
        yield (
            f"{num_seeds} seeds are too few for a significant difference with "
            f"{_arms(design.num_arms)} against the baseline and correction={design.correction}: at "
            f"least {fewest} are needed; no verdict can be better or worse"
        )
    elif plan.detectable is not None:
        yield (
            f"a true difference of {plan.detectable:.2f} points would be found with a probability "
            f"of 80 %, if seeds differ by {design.sd:g} points (test.expected_sd)"
        )
    yield (
        f"equal arms would be called equivalent within {design.margin:g} points with a probability "
        f"of {100 * plan.power_of_equivalence:.0f} %"
    )


def measure_training(loaded: LoadedExperiment) -> tuple[StepTimes, int]:
    """Return how long steps of an experiment take on real batches, and how many it has."""
    split = load_split(loaded.experiment.data, "train")
    loaded = derive_recipe(loaded, split)
    settings = loaded.experiment.train
    device = choose_device(settings.device)
    set_threads(settings.threads)
    seed_process(settings.seed)
    start = build_training_detector(loaded, split)
    batches = build_train_batches(
        split.records,
        start.loaded.experiment,
        stride=start.detector.size_multiple,
        device=device,
    )
    criterion = unscaled_criterion(loaded.experiment.loss, loaded.experiment, start.detector, split)
    move(criterion, device)
    learner = Learner(
        start.detector, criterion, settings, batches_per_epoch=len(batches), device=device
    )

    def learn(batch: Batch, iteration: int) -> None:
        learner.learn(batch, iteration)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    try:
        times = measure_steps(over_epochs(batches.epoch, settings.epochs), learn)
    finally:
        batches.close()
    return times, len(batches) * settings.epochs


def over_epochs(epoch: Callable[[int], Iterable[T]], epochs: int) -> Iterator[T]:
    """Yield the batches of one epoch after the other: a small data set has but one or two."""
    for number in range(epochs):
        yield from epoch(number)


def measure_steps(
    batches: Iterable[T],
    learn: Callable[[T, int], None],
    *,
    clock: Callable[[], float] = perf_counter,
) -> StepTimes:
    """Return the times of steps, waiting for their batches included; at least one batch."""
    times: list[float] = []
    began = clock()
    for iteration, batch in enumerate(batches):
        learn(batch, iteration)
        now = clock()
        times.append(now - began)
        began = now
        steady = times[SLOW_STEPS:]
        wanted_s = LONG_ENOUGH_S if len(steady) >= FEWEST_STEPS else TOO_LONG_S
        if sum(steady) >= wanted_s or len(steady) >= MOST_STEPS:
            break
    return StepTimes.of(times[SLOW_STEPS:] or times[-1:])


def _arms(number: int) -> str:
    return "1 arm" if number == 1 else f"{number} arms"
