"""A training that is built to be measured: how long its steps and its evaluations take."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from time import perf_counter
from typing import TypeVar

import torch

from commands.build.criterion import unscaled_criterion
from commands.build.derived_recipe import derive_recipe
from commands.build.evaluation import build_evaluation
from commands.build.training_start import build_training_detector
from configs.reading.load import LoadedExperiment
from data.loading.loader import build_train_batches, eval_reader, open_training_cache, train_reader
from data.records.load import Split, SplitName, load_split
from utils.engine.learner import Learner
from utils.runtime.errors import UserError
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.threads import available_cores
from utils.runtime.progress import format_duration
from utils.runtime.seeding import seed_process
from utils.structures.batch import Batch
from utils.structures.exact import move

T = TypeVar("T")
SLOW_STEPS = 2
"""Steps left out at the start: libraries prepare, workers start, memory is asked for."""
FEWEST_STEPS = 5
MOST_STEPS = 40
MOST_OF_RUN = 4
"""Part of a run's steps, a quarter, above which no more are measured once there are `FEWEST_STEPS`:
a comparison of seconds is not worth a trial of seconds."""
LONG_ENOUGH_S = 4.0
"""Seconds of measuring after which `FEWEST_STEPS` are enough."""
TOO_LONG_S = 40.0
"""Seconds of measuring after which fewer are."""
UNEVEN = 1.2
"""Ratio of slow to quick steps from which on a forecast is a range."""
MOST_FILLED = 5000
"""Images that are decoded before any run; of more, the first runs keep what they decode."""
MEASURED_IMAGES = 64
"""Validation images that tell what an evaluation takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Seconds of a step: lower quartile, median and upper quartile of those measured.

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

    def duration(self, steps: float, *, besides: float = 0.0) -> str:
        """Return the time of a number of steps: one value, or a range if steps differ much.

        `besides` are seconds of other work.
        """
        if self.slow <= UNEVEN * self.quick:
            return format_duration(self.usual * steps + besides)
        quick, slow = (format_duration(each * steps + besides) for each in (self.quick, self.slow))
        return f"{quick} to {slow}"


class MeasuredTraining:
    """A training run with all its parts except those that write files.

    The network learns as it will in a run, so that the loss and the suppression have their work.
    """

    def __init__(self, loaded: LoadedExperiment) -> None:
        """Build the parts; torch computes with the threads that are set.

        Raises:
            UserError, ConfigError: something the user can fix.
        """
        split = load_split(loaded.experiment.data, "train")
        self._val, self._test = (_optional(loaded, name) for name in ("val", "test"))
        loaded = derive_recipe(loaded, split)
        settings = loaded.experiment.train
        self._device = choose_device(settings.device)
        seed_process(settings.seed)
        start = build_training_detector(loaded, split)
        self._experiment, self._detector = start.loaded.experiment, start.detector
        stride = start.detector.size_multiple
        val_records = self._val.records if self._val is not None else ()
        self._cache = open_training_cache(settings, split.records, val_records, stride=stride)
        self._readers = (
            (train_reader(settings, stride, self._cache), split.records),
            (eval_reader(settings.image_size, self._cache), val_records),
        )
        self._batches = build_train_batches(
            split.records, self._experiment, stride=stride, device=self._device, cache=self._cache
        )
        criterion = unscaled_criterion(
            loaded.experiment.loss, loaded.experiment, start.detector, split
        )
        move(criterion, self._device)
        self._learner = Learner(
            start.detector,
            criterion,
            settings,
            batches_per_epoch=len(self._batches),
            device=self._device,
        )
        self.steps = len(self._batches) * settings.epochs
        """Of a whole run."""
        self._stream = over_epochs(self._batches.epoch)

    def fill_cache(self) -> None:
        """Decode all images into the cache, if there is one and they are few enough to wait for.

        Trainings side by side would each decode them in their first epoch.
        """
        if self._cache is None or sum(len(records) for _, records in self._readers) > MOST_FILLED:
            return
        with ThreadPoolExecutor(available_cores()) as pool:
            for read, records in self._readers:
                for _ in pool.map(partial(_decode, read), records):
                    pass

    def measure_steps(self) -> list[float]:
        """Return the seconds of some steps on real batches, without the first ones."""
        most = min(MOST_STEPS, max(FEWEST_STEPS, self.steps // MOST_OF_RUN))
        return measure_steps(self._stream, self._learn, most=most)

    def measure_evaluations(self) -> float:
        """Return the seconds of all evaluations of a run, extrapolated from one on a few images.

        They are those on validation every few epochs, one more of the best weights, and, after the
        run, one of the last weights on validation and on test.
        """
        if self._val is None:
            return 0.0
        part = replace(self._val, records=self._val.records[:MEASURED_IMAGES])
        evaluation = build_evaluation(
            self._detector, part, self._experiment, device=self._device, cache=self._cache
        )
        self._detector.eval()
        began = perf_counter()
        try:
            evaluation(self._detector)
        finally:
            evaluation.close()
            self._detector.train()
        each = (perf_counter() - began) / max(len(part.records), 1)
        interval, epochs = self._experiment.eval.interval, self._experiment.train.epochs
        on_validation = -(-epochs // interval) + 2
        test_images = 0 if self._test is None else len(self._test.records)
        return each * (on_validation * len(self._val.records) + test_images)

    def close(self) -> None:
        """End the workers."""
        self._batches.close()

    def _learn(self, batch: Batch, iteration: int) -> None:
        self._learner.learn(batch, iteration % self.steps)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def over_epochs(epoch: Callable[[int], Iterable[T]]) -> Iterator[T]:
    """Yield the batches of one epoch after the other: a small data set has but one or two."""
    for number in count():
        yield from epoch(number)


def measure_steps(
    batches: Iterable[T],
    learn: Callable[[T, int], None],
    *,
    most: int = MOST_STEPS,
    clock: Callable[[], float] = perf_counter,
) -> list[float]:
    """Return the times of steps, waiting for their batches included; at least one batch.

    Args:
        batches: what is learned.
        learn: takes a step with a batch and its number.
        most: steps that are measured.
        clock: gives seconds.
    """
    times: list[float] = []
    began = clock()
    for iteration, batch in enumerate(batches):
        learn(batch, iteration)
        now = clock()
        times.append(now - began)
        began = now
        steady = times[SLOW_STEPS:]
        wanted_s = LONG_ENOUGH_S if len(steady) >= FEWEST_STEPS else TOO_LONG_S
        if sum(steady) >= wanted_s or len(steady) >= most:
            break
    return times[SLOW_STEPS:] or times[-1:]


def _optional(loaded: LoadedExperiment, name: SplitName) -> Split | None:
    """Return a split; None where the data set has none, or gets it only when runs begin."""
    try:
        return load_split(loaded.experiment.data, name)
    except UserError:
        return None


def _decode(read: Callable[[T], object], record: T) -> None:
    """Read an image into the cache; one that cannot be read is told by the run that needs it."""
    with suppress(UserError):
        read(record)
