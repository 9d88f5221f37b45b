from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.losses import DetectionCriterion, FocalLoss
from tests.models.losses.detection_case import crowd, make_criterion, values


class _SeesAutocast(nn.BCEWithLogitsLoss):
    seen: bool | None = None

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        self.seen = torch.is_autocast_enabled("cpu")
        return super().forward(input, target)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("focal", [True, False])
def test_half_precision_predictions_are_lossed_in_float32_under_autocast(
    dtype: torch.dtype, focal: bool
) -> None:
    case = crowd()
    halves = tuple(level.detach().to(dtype).requires_grad_() for level in case.predictions.levels)
    half = replace(case.predictions, levels=halves)
    full = replace(case.predictions, levels=tuple(h.float() for h in halves))
    watched = _SeesAutocast(reduction="none")
    bce = nn.BCEWithLogitsLoss(reduction="none")
    loss = make_criterion(
        objectness=FocalLoss(bce, 1.5, 0.25) if focal else bce, classification=watched
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = loss(half, case.targets)
    assert watched.seen is False
    assert got.total.dtype == torch.float32
    assert values(got) == values(loss(full, case.targets))
    got.total.backward()
    assert all(level.grad is not None and level.grad.isfinite().all() for level in halves)


def test_extreme_predictions_give_finite_gradients() -> None:
    case = crowd()
    for scale in (0.0, 30.0, 1e3, 1e4):
        levels = tuple(
            (level.detach().float() * scale).requires_grad_() for level in case.predictions.levels
        )
        predictions = replace(case.predictions, levels=levels)
        focal = FocalLoss(nn.BCEWithLogitsLoss(reduction="none"), 0.5, 0.25, form="quality")
        loss: DetectionCriterion = make_criterion(objectness=focal, classification=focal)
        terms = loss(predictions, case.targets)
        terms.total.backward()
        assert terms.total.isfinite()
        assert all(level.grad is not None and level.grad.isfinite().all() for level in levels)
