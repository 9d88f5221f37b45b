"""Every loss of the catalogue from its name, with the keys that have to be stated filled in."""

from typing import Any, get_args

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from configs.schema.branch_loss import BranchLossSettings, ElementwiseLoss
from configs.schema.class_loss import Classification, ClassLoss
from models.losses.criterion.catalogue import BRANCH_LOSSES

REQUIRED: dict[str, dict[str, Any]] = {
    "bce_alpha": {"alpha": 0.25},
    "focal": {"gamma": 2.0, "alpha": 0.25},
}
"""Keys without a default."""

_PARSER: TypeAdapter[BranchLossSettings] = TypeAdapter(Classification)


def names(union: Any) -> list[str]:
    """Names of the variants of a union of settings, but for a user's own."""
    found = [get_args(variant.model_fields["name"].annotation)[0] for variant in get_args(union)]
    return [name for name in found if name != "custom"]


ELEMENTWISE_NAMES = names(ElementwiseLoss)
ALL_NAMES = names(ClassLoss)
OVER_CLASSES = sorted(set(ALL_NAMES) - set(ELEMENTWISE_NAMES))


def settings(name: str, **stated: Any) -> BranchLossSettings:
    return _PARSER.validate_python({"name": name, **REQUIRED.get(name, {}), **stated})


def build(name: str, num_classes: int = 1, **stated: Any) -> nn.Module:
    chosen = settings(name, **stated)
    return BRANCH_LOSSES[type(chosen)](chosen, num_classes)


def rows(
    count: int = 12, classes: int = 3, *, hard: bool = False, seed: int = 3
) -> tuple[Tensor, Tensor]:
    """Moderate logits and targets (n, C) in double precision; hard targets are one-hot or empty."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes, generator=generator, dtype=torch.float64) * 3
    targets = torch.rand(count, classes, generator=generator, dtype=torch.float64)
    if hard:
        label = torch.randint(classes, (count,), generator=generator)
        targets = nn.functional.one_hot(label, classes).double()
        targets[:: max(count, 1) // 4 + 1] = 0
    return logits, targets
