"""Learning rate, momentum and accumulation as pure functions of the iteration.

Source: the published YOLOv5 recipe. Deviation: warm-up takes at most a share of the run
(`warmup.max_share`), so that a short one reaches its learning rate.
"""

import math
from dataclasses import dataclass

from configs.schema.train import (
    ConstantSchedule,
    FlatCosineSchedule,
    Schedule,
    SgdSettings,
    TrainSettings,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates of one iteration."""

    lr: float
    """Learning rate of weights and norms."""
    bias_lr: float
    """Learning rate of biases."""
    momentum: float
    """Momentum, or beta1 of the Adam family."""
    accumulate: int
    """Batches whose gradients make one optimizer step, at least 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSchedule:
    """The schedule of a whole run of `epochs` x `batches_per_epoch` iterations."""

    settings: TrainSettings
    batches_per_epoch: int
    processes: int = 1
    """Number of processes, each with batches of its own."""

    @property
    def warmup_iterations(self) -> int:
        """Length of the warm-up, in iterations."""
        warmup, batches = self.settings.warmup, self.batches_per_epoch
        if warmup.epochs == 0:
            return 0
        wanted = max(round(warmup.epochs * batches), warmup.min_iterations)
        return min(wanted, int(self.settings.epochs * batches * warmup.max_share))

    @property
    def head_warmup_iterations(self) -> int:
        """Iterations in which only tensors without pretrained weights are trained."""
        return round(self.settings.head_warmup * self.batches_per_epoch)

    def at(self, iteration: int) -> Rates:
        """Return the rates of `iteration`, counted from 0 over the whole training."""
        settings = self.settings
        epoch = iteration // self.batches_per_epoch
        factor = lr_factor(epoch, epochs=settings.epochs, schedule=settings.schedule)
        lr = settings.optimizer.lr * factor
        momentum = full_momentum(settings)
        batches_per_step = settings.nominal_batch / (settings.batch_size * self.processes)
        length = self.warmup_iterations
        if iteration >= length:
            accumulate = max(round(batches_per_step), 1)
            return Rates(lr=lr, bias_lr=lr, momentum=momentum, accumulate=accumulate)
        share = iteration / length
        return Rates(
            lr=lr * share,
            bias_lr=_between(settings.warmup.bias_lr, lr, share),
            momentum=_between(settings.warmup.momentum, momentum, share),
            accumulate=max(round(_between(1.0, batches_per_step, share)), 1),
        )


def lr_factor(epoch: int, *, epochs: int, schedule: Schedule) -> float:
    """Return the learning rate in `epoch` (from 0) of `epochs` as a share of the peak, in (0, 1].

    linear: falls from 1 to `final` in equal steps; cosine: by half a cosine wave; flat_cosine:
        likewise, after the share `flat` of the epochs at 1. All would reach `final` in epoch number
        `epochs`, which is not
    trained.
    """
    if isinstance(schedule, ConstantSchedule):
        return 1.0
    progress = epoch / epochs
    if isinstance(schedule, FlatCosineSchedule):
        progress = max(progress - schedule.flat, 0.0) / (1 - schedule.flat)
    if schedule.name != "linear":
        progress = (1 - math.cos(math.pi * progress)) / 2
    return (1 - progress) * (1 - schedule.final) + schedule.final


def full_momentum(settings: TrainSettings) -> float:
    """Return the momentum after the warm-up, beta1 of the Adam family."""
    optimizer = settings.optimizer
    return optimizer.momentum if isinstance(optimizer, SgdSettings) else optimizer.beta1


def _between(first: float, last: float, share: float) -> float:
    return first + (last - first) * share
