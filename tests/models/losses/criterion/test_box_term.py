import pytest
import torch
from torch import Tensor

from models.losses.box import FocalEiouLoss, OverlapLoss, SmoothL1Loss
from models.losses.criterion.box_term import BoxTerm

LOSSES = (torch.tensor([1.0, 2.0, 4.0]), torch.zeros(0), torch.tensor([8.0, 16.0]))
VALID = (
    torch.tensor([True, False, True]),
    torch.zeros(0, dtype=torch.bool),
    torch.tensor([True, True]),
)


def test_mean_is_by_level_over_its_matches() -> None:
    term = BoxTerm(OverlapLoss("ciou"), gain=0.5)(LOSSES, VALID)
    assert term.item() == 0.5 * ((1 + 4) / 2 + (8 + 16) / 2)


def test_positives_divide_the_sum_over_all_levels() -> None:
    term = BoxTerm(OverlapLoss("ciou"), gain=0.5, normalizer="positives")(LOSSES, VALID)
    assert term.item() == 0.5 * (1 + 4 + 8 + 16) / 4


@pytest.mark.parametrize("normalizer", ["mean", "positives"])
@pytest.mark.parametrize("losses", [torch.zeros(0), torch.tensor([float("nan")])])
def test_without_matches_it_is_zero(normalizer: str, losses: Tensor) -> None:
    valid = torch.zeros(len(losses), dtype=torch.bool)
    term = BoxTerm(OverlapLoss("iou"), gain=1.0, normalizer=normalizer)  # type: ignore[arg-type]
    assert term([losses, losses], [valid, valid]).item() == 0


def test_objectness_shows_the_overlap_of_the_loss() -> None:
    kinds = [
        BoxTerm(loss, gain=1.0).kind
        for loss in (OverlapLoss("siou"), FocalEiouLoss(gamma=0.5), SmoothL1Loss(beta=0.1))
    ]
    assert kinds == ["siou", "eiou", "iou"]
