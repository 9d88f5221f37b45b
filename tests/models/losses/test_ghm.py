import pytest
import torch

from models.losses.ghm import GhmLoss
from tests.models.losses.focal_case import bce, slope, tensor
from tests.models.losses.loss_settings import rows
from tests.models.losses.slow_losses import SlowGhm


@pytest.mark.parametrize("momentum", [0.0, 0.75])
@pytest.mark.parametrize("divide_by", ["bins", "occupied"])
@pytest.mark.parametrize("bins", [1, 7, 30])
def test_several_batches_are_the_slow_ones(momentum: float, divide_by: str, bins: int) -> None:
    loss = GhmLoss(bins=bins, momentum=momentum, divide_by=divide_by)  # type: ignore[arg-type]
    slow = SlowGhm(bins=bins, momentum=momentum, divide_by=divide_by)
    for batch in range(4):
        logits, targets = rows(11, 2, hard=batch % 2 == 0, seed=batch)
        counted = torch.arange(11) % 3 != 1
        got = loss(logits, targets, counted)
        expected = slow(
            logits.flatten().tolist(),
            targets.flatten().tolist(),
            counted.repeat_interleave(2).tolist(),
        )
        torch.testing.assert_close(got[counted], tensor(*expected).view(11, 2)[counted])


def test_a_row_that_does_not_count_fills_no_bin() -> None:
    logits, targets = rows(9, 1)
    counted = torch.arange(9) < 6
    some, few = (GhmLoss(bins=10, momentum=0.5, divide_by="bins") for _ in range(2))
    masked = some(logits[:, 0], targets[:, 0], counted)[:6]
    torch.testing.assert_close(masked, few(logits[:6, 0], targets[:6, 0]))
    assert torch.equal(some.density, few.density)


def test_no_gradient_flows_through_the_density() -> None:
    logits, targets = rows(20, 1)
    loss = GhmLoss(bins=5, momentum=0.75, divide_by="bins")
    weights = loss(logits, targets) / bce(logits, targets)
    again = GhmLoss(bins=5, momentum=0.75, divide_by="bins")
    torch.testing.assert_close(
        slope(again, logits, targets), weights * (logits.sigmoid() - targets)
    )


def test_evaluation_weighs_alike_and_remembers_nothing() -> None:
    loss = GhmLoss(bins=10, momentum=0.75, divide_by="bins")
    loss(*rows(20, 2, seed=0))
    before = loss.density.clone()
    seen = loss.eval()(*rows(20, 2, seed=1))
    assert torch.equal(loss.density, before)
    assert torch.equal(loss.train()(*rows(20, 2, seed=1)), seen)
    assert not torch.equal(loss.density, before)


def test_equal_gradients_share_the_weight_of_one_bin() -> None:
    """A hundred equal elements weigh together what a single other one does."""
    logits = torch.cat((torch.full((100,), -4.0), torch.full((1,), 4.0))).double()
    loss = GhmLoss(bins=10, momentum=0.0, divide_by="occupied")
    weights = loss(logits, torch.zeros(101).double()) / bce(logits, torch.zeros(101).double())
    assert weights[:100].sum().item() == pytest.approx(weights[100].item())
    assert weights.sum().item() == pytest.approx(101)
