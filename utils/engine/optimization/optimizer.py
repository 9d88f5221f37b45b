"""The optimizer of a training run: groups of parameters, learning rates, storage.

The first call of some methods of `torch.optim.Optimizer`, and every step of the Adam family,
imports it, only to mark that they are not compiled: more than a second and 100 MiB of a run that
compiles no optimizer.
"""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from configs.schema.train import AdamSettings, SgdSettings, TrainSettings
from configs.schema.train import Optimizer as OptimizerSettings
from utils.engine.optimization.schedule import Rates
from utils.engine.optimization.storage_order import StorageOrderSgd

_MARK = "__dynamo_disable"
"""Attribute in which torch keeps the replacement of such a method."""
_MARKED_IN = "torch._compile"


def keep_compiler_out() -> None:
    """Let torch call those methods directly; does nothing in versions without the replacement."""
    for method in vars(Optimizer).values():
        original = getattr(method, "__wrapped__", None)
        is_marked = getattr(method, "__globals__", {}).get("__name__") == _MARKED_IN
        if original is not None and is_marked and not hasattr(original, _MARK):
            setattr(original, _MARK, original)


@lru_cache
def with_plain_step(optimizer: type[Adam]) -> type[Adam]:
    """Return the optimizer with the same steps, computed without the wrapper that loads the
    compiler.

    Args:
        optimizer: `torch.optim.Adam` or `AdamW`, not differentiable.
    """
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), {"step": step})


NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
)
FUSED_DEVICES = {"cpu", "cuda"}
"""Where torch has fused kernels of SGD, Adam and AdamW in all supported versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterGroups:
    """Every trainable parameter exactly once."""

    biases: tuple[nn.Parameter, ...]
    """All biases, those of norms too: no weight decay, their own learning rate in warm-up."""
    norms: tuple[nn.Parameter, ...]
    """Scales of norms and other vectors: no weight decay."""
    weights: tuple[nn.Parameter, ...]
    """All other parameters: with weight decay."""


def split_parameters(model: nn.Module) -> ParameterGroups:
    """Return the trainable parameters of `model` in groups; a shared one counts once.

    Raises:
        RuntimeError: the groups are not a partition (a bug of this program).
    """
    biases: dict[int, nn.Parameter] = {}
    norms: dict[int, nn.Parameter] = {}
    weights: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if name.endswith("bias"):
                group = biases
            elif isinstance(module, NORMS) or parameter.ndim <= 1:
                group = norms
            else:
                group = weights
            if not any(id(parameter) in other for other in (biases, norms, weights)):
                group[id(parameter)] = parameter
    expected = {id(p) for p in model.parameters() if p.requires_grad}
    if biases.keys() | norms.keys() | weights.keys() != expected:
        raise RuntimeError("a trainable parameter is in no optimizer group")
    return ParameterGroups(
        biases=tuple(biases.values()), norms=tuple(norms.values()), weights=tuple(weights.values())
    )


def build_optimizer(
    model: nn.Module,
    settings: TrainSettings,
    lr_factors: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """Return the optimizer of `settings` over the parameters of `model`, fused if possible.

    `lr_factors` multiply the learning rate of the parameters they name. Weight decay is scaled by
    images per step over `nominal_batch`, as published: the two differ where the batch size does not
    divide the nominal batch.
    """
    accumulate = max(round(settings.nominal_batch / settings.batch_size), 1)
    images_per_step = settings.batch_size * accumulate
    decay = settings.optimizer.weight_decay * images_per_step / settings.nominal_batch
    described = list(_describe(model, decay, lr_factors or {}))
    kernel = "fused" if _have_fused_kernels(model) else "foreach"
    keep_compiler_out()
    optimizer = _construct(described, settings.optimizer, **{kernel: True})
    _begin_momentum(optimizer)
    return optimizer


def _describe(
    model: nn.Module, decay: float, lr_factors: Mapping[str, float]
) -> Iterator[dict[str, Any]]:
    """Yield the groups that are not empty: by role, then by factor of the learning rate."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = split_parameters(model)
    for role in ("biases", "norms", "weights"):
        by_factor: dict[float, list[nn.Parameter]] = {}
        for parameter in getattr(groups, role):
            factor = lr_factors.get(names[id(parameter)], 1.0)
            by_factor.setdefault(factor, []).append(parameter)
        for factor, parameters in by_factor.items():
            yield {
                "params": parameters,
                "weight_decay": decay if role == "weights" else 0.0,
                "role": role,
                "lr_factor": factor,
            }


def _have_fused_kernels(model: nn.Module) -> bool:
    """Return why torch cannot fuse, which it checks itself only at the first step."""
    return all(
        parameter.is_floating_point() and parameter.device.type in FUSED_DEVICES
        for parameter in model.parameters()
    )


def _construct(
    groups: list[dict[str, Any]], settings: OptimizerSettings, **kernel: bool
) -> torch.optim.Optimizer:
    if isinstance(settings, SgdSettings):
        nesterov = settings.momentum > 0
        is_on_cpu = all(p.device.type == "cpu" for group in groups for p in group["params"])
        build = StorageOrderSgd if is_on_cpu and kernel.get("fused") else SGD
        return build(groups, settings.lr, settings.momentum, nesterov=nesterov, **kernel)
    betas = (settings.beta1, settings.beta2)
    adam = with_plain_step(Adam if isinstance(settings, AdamSettings) else AdamW)
    return adam(groups, settings.lr, betas, **kernel)


def _begin_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give SGD its momentum, 0, where it has none yet.

    Its first step is the same with and without, but fused kernels fail where some parameters have
    one and others, frozen till now, have not.
    """
    if not isinstance(optimizer, SGD):
        return
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["momentum"] > 0 else ():
            entries = optimizer.state[parameter]
            if entries.get("momentum_buffer") is None:
                entries["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)


def set_rates(optimizer: torch.optim.Optimizer, rates: Rates) -> None:
    """Set learning rate and momentum (or beta1) of all groups for the next step."""
    for group in optimizer.param_groups:
        lr = rates.bias_lr if group["role"] == "biases" else rates.lr
        group["lr"] = lr * group["lr_factor"]
        if "momentum" in group:
            group["momentum"] = rates.momentum
        else:
            group["betas"] = (rates.momentum, group["betas"][1])


def optimizer_state(
    optimizer: torch.optim.Optimizer, model: nn.Module
) -> dict[str, dict[str, Any]]:
    """Return the optimizer's state by name of the parameter, without learning rates."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: dict(entries) for parameter, entries in optimizer.state.items()}


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, model: nn.Module, state: Mapping[str | int, dict[str, Any]]
) -> None:
    """Restore what `optimizer_state` returned.

    Parameters that it does not name start without state. Positions instead of names, as in the
    first version, are accepted too. Tensors of a parameter's shape get its memory order too: fused
    kernels walk parameter and momentum in step and would mix up elements otherwise.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    ordered = [p for group in optimizer.param_groups for p in group["params"]]
    kept = {
        index: state[key]
        for index, parameter in enumerate(ordered)
        for key in (names[id(parameter)], index)
        if key in state
    }
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": kept, "param_groups": groups})
    for parameter, entries in optimizer.state.items():
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.ndim > 0:
                entries[name] = torch.empty_like(parameter).copy_(value)
    _begin_momentum(optimizer)
