"""One iteration of training: forward, backward and, when enough gradients are in, a step."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from configs.schema.train import TrainSettings
from utils.engine.ema import WeightAverage
from utils.engine.layers import LayerControl, LayerRules
from utils.engine.optimizer import (
    build_optimizer,
    load_optimizer_state,
    optimizer_state,
    set_rates,
)
from utils.engine.precision import autocast, choose_precision, gradient_scaler
from utils.engine.protocols import Criterion
from utils.engine.schedule import Rates, RateSchedule
from utils.runtime.seeding import derive_seed, seed_process
from utils.structures.batch import Batch, Targets
from utils.structures.predictions import LossTerms

Observe = Callable[[Any, Targets, int], None]
"""Sees what the network returned, the targets and the iteration; may change nothing."""


class Learner:
    """Everything that learns: network, optimizer, gradient scaler and running average.

    `model` is moved to `device` and, if set so, into channels-last memory order. `step` counts
    optimizer steps, `pending` the batches whose gradients wait for one.
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
    ) -> None:
        self.model = model.to(device)
        if settings.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.criterion = criterion
        self.observe = observe
        self.settings = settings
        self.device = device
        self.schedule = RateSchedule(settings=settings, batches_per_epoch=batches_per_epoch)
        self.layers = LayerControl(self.model, rules or LayerRules())
        self.optimizer = build_optimizer(self.model, settings, self.layers.rules.lr_factors)
        self.dtype = choose_precision(settings.precision, device)
        self.scaler = gradient_scaler(device, self.dtype)
        self.average = WeightAverage(self.model, settings.ema)
        self.step = 0
        self.pending = 0

    def learn(self, batch: Batch, iteration: int) -> LossTerms:
        """Learn from one batch; `iteration` counts from 0 over the whole training."""
        rates = self.schedule.at(iteration)
        seed_process(derive_seed(self.settings.seed, iteration))
        self.layers.prepare(is_head_warmup=iteration < self.schedule.head_warmup_iterations)
        terms = self._loss(batch.to(self.device), iteration)
        self.scaler.scale(terms.total).backward()
        self.pending += 1
        if self.pending >= rates.accumulate:
            self._take_step(rates)
        return terms

    def finish(self, iteration: int) -> None:
        """Use the gradients that still wait, at the end of training."""
        if self.pending:
            self._take_step(self.schedule.at(iteration))

    def _loss(self, batch: Batch, iteration: int) -> LossTerms:
        pixels = batch.pixels()
        if self.settings.channels_last:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        with autocast(self.device, self.dtype):
            predictions = self.model(pixels)
        if self.observe is not None:
            self.observe(predictions, batch.targets, iteration)
        return self.criterion(predictions, batch.targets)

    def _take_step(self, rates: Rates) -> None:
        set_rates(self.optimizer, rates)
        if self.settings.clip_norm > 0:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update()
        self.step += 1
        self.pending = 0

    def vital_tensors(self) -> dict[str, Tensor]:
        """Return what is finite in a healthy training, by name: weights, average, gradients.

        fp16 gradients are left out: their scaler meets overflow by design and skips the step.
        """
        vital = dict(self.model.state_dict())
        vital |= {f"average of {k}": v for k, v in self.average.model.state_dict().items()}
        if not self.scaler.is_enabled():
            vital |= {f"gradient of {k}": v for k, v in self._gradients().items()}
        return vital

    def _criterion_state(self) -> dict[str, Tensor]:
        """Return what the loss remembers of earlier batches: counts, running averages."""
        return self.criterion.state_dict() if isinstance(self.criterion, nn.Module) else {}

    def _gradients(self) -> dict[str, Tensor]:
        return {
            name: parameter.grad
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None
        }

    def state(self) -> dict[str, Any]:
        """Return all that the next iterations depend on, waiting gradients included."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state(),
            "optimizer": optimizer_state(self.optimizer, self.model),
            "scaler": self.scaler.state_dict(),
            "gradients": self._gradients(),
            "step": self.step,
            "pending": self.pending,
            "criterion": self._criterion_state(),
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
        for name, parameter in self.model.named_parameters():
            gradient = state["gradients"].get(name)
            parameter.grad = None
            if gradient is not None:
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
        self.step = state["step"]
        self.pending = state["pending"]
        if isinstance(self.criterion, nn.Module):
            self.criterion.load_state_dict(state["criterion"])
