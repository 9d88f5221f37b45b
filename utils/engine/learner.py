"""One iteration of training: forward, backward and, after accumulation, an optimizer step."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from configs.schema.train import TrainSettings
from utils.engine.compiled import Compiler
from utils.engine.ddp import JointForward
from utils.engine.guard import FiniteGuard, FiniteSteps
from utils.engine.loss_log import NotFiniteError, require_finite_terms
from utils.engine.optimization.ema import ModelEma
from utils.engine.optimization.gradients import Gradients
from utils.engine.optimization.layer_rules import LayerControl, LayerRules
from utils.engine.optimization.optimizer import (
    build_optimizer,
    load_optimizer_state,
    optimizer_state,
    set_rates,
)
from utils.engine.optimization.schedule import Rates, RateSchedule
from utils.engine.precision import autocast, choose_precision, gradient_scaler
from utils.engine.protocols import Criterion
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.errors import UserError
from utils.runtime.machine.memory import GIB, is_out_of_memory, total_memory, used_memory
from utils.runtime.seeding import derive_seed, seed_process
from utils.structures.batch import Batch, Targets
from utils.structures.loss_terms import LossTerms

logger = logging.getLogger(__name__)


Observe = Callable[[Any, Targets, int], None]
"""Receives predictions, targets and iteration; must not change them."""


class Learner:
    """Everything that is trained: network, optimizer, gradient scaler and EMA.

    `model` is moved to `device` and, if set so, into channels-last memory order. `step` counts
    optimizer steps, `pending` the batches accumulated since the last one.

    With several processes each computes its batch, and all take the same step: their gradients are
    added up, which by the scaling of `LossTerms.total` is the gradient of all images.
    """

    def __init__(
        self,
        model: nn.Module,
        criterion: Criterion,
        settings: TrainSettings,
        *,
        batches_per_epoch: int,
        device: torch.device,
        rules: LayerRules | None = None,
        observe: Observe | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.ranks = ranks
        self.model = model.to(device)
        if settings.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.criterion = criterion
        self._compiled_loss: Criterion | None = None
        self.observe = observe
        self.settings = settings
        self.device = device
        self.schedule = RateSchedule(
            settings=settings, batches_per_epoch=batches_per_epoch, processes=ranks.size
        )
        self._forward = JointForward(
            self.model, ranks, copies_statistics=not settings.sync_batchnorm
        )
        self.layers = LayerControl(self.model, rules or LayerRules())
        self.optimizer = build_optimizer(self.model, settings, self.layers.rules.lr_factors)
        self.gradients = Gradients(self.model, device)
        self.dtype = choose_precision(settings.precision, device)
        self.scaler = gradient_scaler(device, self.dtype)
        self.average = ModelEma(self.model, settings.ema)
        self.guard = FiniteGuard([self.model, criterion], skips=settings.non_finite == "skip")
        self.micro_batches = MicroBatches(may_halve=settings.oom == "halve")
        self.finite = FiniteSteps(self.optimizer, batches_per_epoch=batches_per_epoch)
        # Reading a number from a GPU waits for all its queued work.
        self.reads_at_once = device.type == "cpu" or self.guard.skips
        self.step = 0
        self.pending = 0

    def compile(self, compiler: Compiler) -> None:
        """Use compiled code for whole batches from now on."""
        self._forward.compile(compiler.network)
        self._compiled_loss = compiler.loss(self.criterion)

    def begin_epoch(self, epoch: int) -> None:
        """Set the epoch of the loss, from 0: some terms are added in the last epochs."""
        begin = getattr(self.criterion, "begin_epoch", None)
        if begin is not None:
            begin(epoch)

    def learn(self, batch: Batch, iteration: int) -> LossTerms | None:
        """Train on one batch; `iteration` counts from 0 over the whole run.

        Returns:
            The terms, without their graph; None if the batch was not finite and was skipped.

        Raises:
            NotFiniteError: loss or gradient are NaN or infinite; the weights are as before.
        """
        rates = self.schedule.at(iteration)
        batch = batch.to(self.device)
        self.guard.begin()
        try:
            terms = self._backward(batch, iteration)
            self.pending += 1
            if self.pending >= rates.accumulate:
                self._take_step(rates, iteration)
        except NotFiniteError as error:
            self.guard.leave_out(error, batch, iteration)
            if self.pending >= rates.accumulate:
                self._drop_gradients()
            return None
        self.guard.passed()
        return terms

    def finish(self, iteration: int) -> None:
        """Take a step with the gradients accumulated so far, at the end of training."""
        if not self.pending:
            return
        try:
            self._take_step(self.schedule.at(iteration), iteration)
            self.require_finite_steps()
        except NotFiniteError:
            if not self.guard.skips:
                raise
            self._drop_gradients()

    def compute(self, batch: Batch, iteration: int, observe: Observe | None = None) -> LossTerms:
        """Return the loss of a batch on the device, with the random numbers of its iteration."""
        seed_process(derive_seed(self.settings.seed, iteration))
        self.layers.prepare(is_head_warmup=iteration < self.schedule.head_warmup_iterations)
        pixels = batch.pixels()
        if self.settings.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.dtype):
            predictions = self._forward(pixels)
        if observe is not None:
            observe(predictions, batch.targets, iteration)
        is_whole = len(batch) == self.settings.batch_size
        criterion = (self._compiled_loss if is_whole else None) or self.criterion
        return criterion(predictions, batch.targets)

    def _backward(self, batch: Batch, iteration: int) -> LossTerms:
        before = self.gradients.copied() if self.micro_batches.may_halve else {}

        def learn_from(part: Batch) -> LossTerms:
            own = self.compute(part, iteration, self.observe)
            terms = self._joint(own)
            if self.reads_at_once:  # else the check before the step is enough
                require_finite_terms(terms)
            self.gradients.expect()
            # Gradients are averaged over processes; the sum is needed.
            self.scaler.scale(own.total * self.ranks.size).backward()
            # Nodes of the graph that outlive the step are scattered over the freed memory of the
            # activations, which then no longer fit there: the heap grew by a quarter.
            return terms.detached()

        undo = partial(self.gradients.restore, before)
        return self.micro_batches.run(batch, learn_from, undo=undo)

    def _joint(self, terms: LossTerms) -> LossTerms:
        """Return the terms of the images of all processes."""
        size = self.ranks.size
        if size == 1:
            return terms
        own = (*terms.values, terms.num_foreground)
        sums = self.ranks.sum(torch.stack([value.detach().float() for value in own]))
        return LossTerms(
            names=terms.names,
            values=(sums[:-1] / size).unbind(),
            num_foreground=sums[-1],
            batch_size=terms.batch_size * size,
        )

    def _take_step(self, rates: Rates, iteration: int) -> None:
        set_rates(self.optimizer, rates)
        norm = self._clipped_norm()
        if not self.scaler.is_enabled():
            self.finite.admit(norm, iteration, at_once=self.reads_at_once)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self._drop_gradients()
        self.average.update()
        self.step += 1
        if self.finite.is_due:
            self.require_finite_steps()

    def require_finite_steps(self) -> None:
        """Wait for the device, if its last steps were not checked yet.

        Raises:
            NotFiniteError: a gradient was not finite; weights and `step` are as before it.
        """
        try:
            self.finite.read()
        except NotFiniteError:
            self.step -= self.finite.refused
            raise

    def _clipped_norm(self) -> Tensor:
        """Clip the gradient if that is set; return its norm before."""
        if self.settings.clip_norm > 0:
            self.scaler.unscale_(self.optimizer)
            return nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        return nn.utils.get_total_norm(self.gradients.waiting().values())

    def _drop_gradients(self) -> None:
        self.gradients.drop()
        self.pending = 0

    def vital_tensors(self) -> dict[str, Tensor]:
        """Return what is finite in a healthy training, by name: weights, average, gradients.

        fp16 gradients are left out: their scaler meets overflow by design and skips the step.

        Raises:
            NotFiniteError: as `require_finite_steps`.
        """
        self.require_finite_steps()
        vital = dict(self.model.state_dict())
        vital |= {f"average of {k}": v for k, v in self.average.model.state_dict().items()}
        if not self.scaler.is_enabled():
            vital |= {f"gradient of {k}": v for k, v in self.gradients.waiting().items()}
        return vital

    def criterion_state(self) -> dict[str, Tensor]:
        """Return the state of the loss: counts, running averages."""
        return self.criterion.state_dict() if isinstance(self.criterion, nn.Module) else {}

    def state(self) -> dict[str, Any]:
        """Return all that the next iterations depend on, accumulated gradients included."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state(),
            "optimizer": optimizer_state(self.optimizer, self.model),
            "scaler": self.scaler.state_dict(),
            "gradients": self.gradients.waiting(),
            "step": self.step,
            "pending": self.pending,
            "criterion": self.criterion_state(),
            "parts": self.micro_batches.parts,
            "left_out": self.guard.left_out,
            "fresh": sorted(self.layers.rules.fresh),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned, into the memory order of this network."""
        self.model.load_state_dict(state["model"])
        self.average.load_state(state["average"])
        load_optimizer_state(self.optimizer, self.model, state["optimizer"])
        self.layers.use(replace(self.layers.rules, fresh=frozenset(state.get("fresh", ()))))
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self.gradients.restore(state["gradients"])
        self.step = state["step"]
        self.pending = state["pending"]
        self.micro_batches.parts = state["parts"]
        self.guard.left_out = state["left_out"]
        if isinstance(self.criterion, nn.Module):
            self.criterion.load_state_dict(state["criterion"])


class MicroBatches:
    """Splits batches once the device ran out of memory; images per optimizer step stay the same.

    Every part is weighted by its images. Batch statistics, and losses that are means over the
    matches, are those of each part.
    """

    def __init__(self, *, may_halve: bool) -> None:
        self.may_halve = may_halve
        self.parts = 1

    def run(
        self,
        batch: Batch,
        compute: Callable[[Batch], LossTerms],
        *,
        undo: Callable[[], None],
    ) -> LossTerms:
        """Return the terms of a batch; `compute` may be called for parts of it, one by one.

        Args:
            batch: the whole.
            compute: forward and backward pass of a part.
            undo: takes back the gradients of parts whose batch is computed again.

        Raises:
            RuntimeError, MemoryError: out of memory where halving is not allowed or one image is
                too much; whatever else `compute` raises.
        """
        while True:
            try:
                return joined([compute(part) for part in batch.split(self.parts)])
            except (RuntimeError, MemoryError) as error:
                is_too_much = is_out_of_memory(error)
                if not is_too_much or not self.may_halve or self.parts >= len(batch):
                    raise
            # Outside the handler: its traceback would keep the tensors of the failed pass alive.
            undo()
            self.parts *= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            logger.warning(
                "out of memory: batches of %d images are computed in %d parts from now on",
                len(batch),
                self.parts,
            )


def joined(parts: Sequence[LossTerms]) -> LossTerms:
    """Return the terms of a whole batch from those of its parts; means are weighted by images."""
    if len(parts) == 1:
        return parts[0]
    size = sum(part.batch_size for part in parts)

    def mean(name: str) -> torch.Tensor:
        return torch.stack([p[name].detach() * (p.batch_size / size) for p in parts]).sum()

    return LossTerms.of(
        {name: mean(name) for name in parts[0].names},
        num_foreground=torch.stack([part.num_foreground for part in parts]).sum(),
        batch_size=size,
    )


def too_little_memory(device: torch.device, settings: TrainSettings) -> UserError:
    """Return what to tell the user when a batch does not fit."""
    half = max(settings.batch_size // 2, 1)
    has = f"{used_memory(device) / GIB:.1f} of {total_memory(device) / GIB:.1f} GiB in use"
    ways = f"train.batch_size={half}" if half < settings.batch_size else "a smaller model.graph"
    return UserError(
        f"not enough memory on {device} ({has}) for train.batch_size={settings.batch_size} at "
        f"train.image_size={settings.image_size}: set {ways} (nominal_batch keeps the optimizer "
        "steps the same), train.batch_size=auto, a smaller train.image_size or train.oom=halve"
    )
