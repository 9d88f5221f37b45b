"""Frozen layers, layer-wise learning rates and head warm-up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerRules:
    """What differs from layer to layer; names are those of the network's `state_dict()`.

    frozen: never change, statistics of norms included. lr_factors: factor of the learning rate by
    parameter, 1 where not named. fresh: newly initialised, not pretrained; only these are trained
    during the head's warm-up.
    """

    frozen: frozenset[str] = frozenset()
    lr_factors: Mapping[str, float] = field(default_factory=dict)
    fresh: frozenset[str] = frozenset()


class LayerControl:
    """Freezes the layers of `model` that are not trained at an iteration.

    Frozen parameters get no gradient; frozen norms stay in evaluation mode, also after `train()`.
    """

    def __init__(self, model: nn.Module, rules: LayerRules) -> None:
        self._model = model
        self._trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._still: list[nn.Module] = []
        self.use(rules)

    def use(self, rules: LayerRules) -> None:
        """Replace the rules."""
        self.rules = rules
        self._head_warmup_rest = (frozenset(self._model.state_dict()) - rules.fresh) | rules.frozen
        self._rest(rules.frozen)

    def prepare(self, *, is_head_warmup: bool) -> None:
        """Make the network ready for the forward pass of an iteration."""
        resting = self._head_warmup_rest if is_head_warmup else self.rules.frozen
        if resting != self._resting:
            self._rest(resting)
        for norm in self._still:
            norm.training = False

    def _rest(self, names: frozenset[str]) -> None:
        self._resting = names
        for name, parameter in self._trainable.items():
            parameter.requires_grad_(name not in names)
        for norm in self._still:
            norm.training = self._model.training
        self._still = [
            module
            for prefix, module in self._model.named_modules()
            if isinstance(module, nn.modules.batchnorm._NormBase)
            and f"{prefix}.running_mean".lstrip(".") in names
        ]
