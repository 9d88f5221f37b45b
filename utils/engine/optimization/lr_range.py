"""The learning-rate range test: the rate grows from step to step until the loss diverges.

Source: Smith 2017, "Cyclical learning rates for training neural networks" (arXiv:1506.01186).
Deviation: the rate grows by equal factors, not by equal amounts, so that decades count alike.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from utils.engine.learner import Learner
from utils.engine.loss_log import NotFiniteError
from utils.engine.optimization.schedule import Rates, RateSchedule, full_momentum
from utils.engine.protocols import BatchSource

Floats = npt.NDArray[np.float64]

DIVERGED = 4.0
"""The test ends where the smoothed loss is so many times the lowest one."""
SMOOTHED_OVER = 1 / 30
"""Standard deviation of the smoothing, as a share of the range on its logarithmic scale."""
LEAST_FALL = 0.01
"""A smaller fall, as a share of the largest loss, is none."""
_TRAIL = 0.7
"""Weight of earlier steps in the running mean that tells divergence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSchedule(RateSchedule):
    """Rates from `low` to `high`, both included, by equal factors over `steps` optimizer steps."""

    low: float
    high: float
    steps: int

    @property
    def head_warmup_iterations(self) -> int:
        """None: all tensors are trained."""
        return 0

    @property
    def accumulate(self) -> int:
        """Batches of an optimizer step, as in training after its warm-up."""
        return max(round(self.settings.nominal_batch / self.settings.batch_size), 1)

    def at(self, iteration: int) -> Rates:
        """Return the rates of `iteration`; the momentum is that of training after its warm-up."""
        share = min(iteration // self.accumulate / max(self.steps - 1, 1), 1.0)
        lr = self.low * (self.high / self.low) ** share
        momentum = full_momentum(self.settings)
        return Rates(lr=lr, bias_lr=lr, momentum=momentum, accumulate=self.accumulate)


@dataclass(frozen=True, slots=True, kw_only=True)
class LrCurve:
    """Loss by learning rate, one entry an optimizer step.

    The loss of a step is measured before it, with the weights that smaller rates made.
    """

    lrs: Floats
    """Learning rates (S,), rising by equal factors."""
    losses: Floats
    """Mean of the loss an image of each step (S,), finite."""
    diverged_at: float | None
    """The rate at which the loss diverged; None where it did not."""
    steps: int
    """Steps of the whole range; smoothing takes a share of them."""

    @property
    def smoothed(self) -> Floats:
        """The losses after a Gaussian mean over neighbouring rates (S,).

        A loss that rises above all before its minimum counts as the largest of them: how high it
        jumps when it diverges must not reach into the steps before.
        """
        lowest = int(np.argmin(self.losses))
        losses = np.minimum(self.losses, self.losses[: lowest + 1].max())
        steps = np.arange(len(self.losses))
        width = max(self.steps * SMOOTHED_OVER, 0.5)
        weights = np.exp(-0.5 * ((steps[:, None] - steps[None, :]) / width) ** 2)
        smooth: Floats = weights @ losses / weights.sum(1)
        return smooth

    @property
    def suggestion(self) -> float | None:
        """The rate at which the smoothed loss falls fastest before its minimum, over log(rate);
        None where it falls by less than its own noise.
        """
        if len(self.lrs) < 3:
            return None
        smooth = self.smoothed
        lowest = int(np.argmin(smooth))
        noise = float(np.std(self.losses[: lowest + 1] - smooth[: lowest + 1]))
        fall = float(smooth[: lowest + 1].max() - smooth[lowest])
        if lowest == 0 or fall <= max(noise, LEAST_FALL * float(smooth.max())):
            return None
        slope = np.gradient(smooth, np.log(self.lrs))[: lowest + 1]
        return float(self.lrs[int(np.argmin(slope))])

    @property
    def is_cut_off(self) -> bool:
        """Tell whether the loss was still falling where the range ends."""
        return self.diverged_at is None and int(np.argmin(self.smoothed)) >= len(self.lrs) - 2


def sweep(
    learner: Learner,
    batches: BatchSource,
    *,
    low: float,
    high: float,
    steps: int,
    seen: Callable[[float, float], None] = lambda lr, loss: None,
) -> LrCurve:
    """Train for up to `steps` optimizer steps with rising learning rates; return the losses.

    Args:
        learner: what is trained; its schedule is replaced.
        batches: the epochs of training, one after the other.
        low: first learning rate, above 0.
        high: last one, above `low`.
        steps: optimizer steps of the whole range.
        seen: called after each batch with its rate and loss.
    """
    schedule = SweepSchedule(
        settings=learner.settings,
        batches_per_epoch=len(batches),
        low=low,
        high=high,
        steps=steps,
    )
    learner.schedule = schedule
    learner.model.train()
    learner.begin_epoch(0)
    lrs: list[float] = []
    losses: list[float] = []
    own: list[float] = []
    endless = (batch for epoch in count() for batch in batches.epoch(epoch))
    diverged_at = None
    for iteration, batch in enumerate(endless):
        lr = schedule.at(iteration).lr
        try:
            terms = learner.learn(batch, iteration)
        except NotFiniteError:
            terms = None
        loss = math.nan if terms is None else float(terms.total) / terms.batch_size
        if not math.isfinite(loss):
            diverged_at = lr
            break
        seen(lr, loss)
        own.append(loss)
        if len(own) < schedule.accumulate:
            continue
        lrs.append(lr)
        losses.append(math.fsum(own) / len(own))
        own.clear()
        if has_diverged(losses):
            diverged_at = lr
            break
        if len(lrs) == steps:
            break
    return LrCurve(lrs=np.array(lrs), losses=np.array(losses), diverged_at=diverged_at, steps=steps)


def has_diverged(losses: Sequence[float]) -> bool:
    """Tell whether the running mean of the losses is `DIVERGED` times its lowest value."""
    mean, lowest = losses[0], losses[0]
    for loss in losses[1:]:
        mean = _TRAIL * mean + (1 - _TRAIL) * loss
        lowest = min(lowest, mean)
    return mean > DIVERGED * lowest
