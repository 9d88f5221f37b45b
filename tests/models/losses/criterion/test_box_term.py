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
TARGETS = (torch.tensor([0.5, 1.0, 0.25]), torch.zeros(0), torch.tensor([1.0, 0.5]))


def test_mean_is_by_level_over_its_matches() -> None:
    term = BoxTerm(OverlapLoss("ciou"), gain=0.5)(LOSSES, VALID, TARGETS)
    assert term.item() == 0.5 * ((1 + 4) / 2 + (8 + 16) / 2)


def test_positives_divide_the_sum_over_all_levels() -> None:
    term = BoxTerm(OverlapLoss("ciou"), gain=0.5, normalizer="positives")(LOSSES, VALID, TARGETS)
    assert term.item() == 0.5 * (1 + 4 + 8 + 16) / 4


def test_targets_weigh_the_matches_and_divide_their_sum() -> None:
    term = BoxTerm(OverlapLoss("ciou"), gain=0.5, normalizer="targets")(LOSSES, VALID, TARGETS)
    expected = 0.5 * (0.5 * 1 + 0.25 * 4 + 1 * 8 + 0.5 * 16) / (0.5 + 0.25 + 1 + 0.5)
    assert term.item() == pytest.approx(expected)


def test_the_sum_of_targets_is_at_least_one() -> None:
    faint = tuple(target / 10 for target in TARGETS)
    term = BoxTerm(OverlapLoss("ciou"), gain=1.0, normalizer="targets")(LOSSES, VALID, faint)
    assert term.item() == pytest.approx((0.5 * 1 + 0.25 * 4 + 1 * 8 + 0.5 * 16) / 10)


@pytest.mark.parametrize("normalizer", ["mean", "positives", "targets"])
@pytest.mark.parametrize("losses", [torch.zeros(0), torch.tensor([float("nan")])])
def test_without_matches_it_is_zero(normalizer: str, losses: Tensor) -> None:
    valid = torch.zeros(len(losses), dtype=torch.bool)
    term = BoxTerm(OverlapLoss("iou"), gain=1.0, normalizer=normalizer)  # type: ignore[arg-type]
    assert term([losses] * 2, [valid] * 2, [losses] * 2).item() == 0


def test_objectness_shows_the_overlap_of_the_loss() -> None:
    kinds = [
        BoxTerm(loss, gain=1.0).kind
        for loss in (OverlapLoss("siou"), FocalEiouLoss(gamma=0.5), SmoothL1Loss(beta=0.1))
    ]
    assert kinds == ["siou", "eiou", "iou"]
