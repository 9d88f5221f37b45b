import pytest
import torch

from models.losses.equalized import EqualizedFocalLoss
from tests.models.losses.focal_case import focal, slope, tensor
from tests.models.losses.loss_settings import rows
from tests.models.losses.slow_losses import SlowEqualized


def make(
    num_classes: int = 3, *, alpha: float | None = 0.25, scale_factor: float = 8.0
) -> EqualizedFocalLoss:
    return EqualizedFocalLoss(num_classes, gamma=2.0, alpha=alpha, scale_factor=scale_factor)


@pytest.mark.parametrize("alpha", [None, 0.25])
@pytest.mark.parametrize("scale_factor", [0.0, 3.0, 8.0])
def test_several_batches_are_the_slow_ones(alpha: float | None, scale_factor: float) -> None:
    loss = make(alpha=alpha, scale_factor=scale_factor)
    slow = SlowEqualized(3, gamma=2.0, alpha=alpha, scale_factor=scale_factor)
    for batch in range(4):
        logits, targets = rows(11, 3, hard=True, seed=batch)
        targets *= 0.8  # overlaps as targets are positives, too
        counted = torch.arange(11) % 4 != 2
        got = loss(logits, targets, counted)
        expected = slow(logits.tolist(), targets.tolist(), counted.tolist())
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))
        exponents = [slow.exponent(label) for label in range(3)]
        assert loss.exponents().tolist() == pytest.approx(exponents, rel=1e-12)
    assert len(set(exponents)) > 1 or scale_factor == 0


def test_before_any_gradient_it_is_focal_loss() -> None:
    logits, targets = rows(20, 3)
    torch.testing.assert_close(make()(logits, targets), focal(2, 0.25)(logits, targets))
    torch.testing.assert_close(
        slope(make(), logits, targets), slope(focal(2, 0.25), logits, targets)
    )


def test_a_class_without_positives_gets_the_largest_exponent_and_one_in_surplus_none() -> None:
    loss = make(2)
    logits = torch.zeros(4, 2).double()
    loss(logits, torch.tensor([[1.0, 0]] * 3 + [[0.0, 0]]).double())
    assert loss.exponents().tolist() == [2.0, 10.0]


def test_the_slope_carries_the_factor_of_the_class() -> None:
    loss = make(2)
    loss.positive_gradient.copy_(tensor(1, 1))
    loss.negative_gradient.copy_(tensor(1, 4))
    loss.eval()
    logits, targets = rows(20, 2, hard=True)
    for column, exponent in enumerate((2.0, 8.0)):
        x, t = logits[:, column], targets[:, column]
        torch.testing.assert_close(
            slope(loss, logits, targets)[:, column],
            exponent / 2 * slope(focal(exponent, 0.25), x, t),
        )


def test_evaluation_remembers_nothing() -> None:
    loss = make().eval()
    loss(*rows(20, 3))
    assert not loss.positive_gradient.any()
    assert not loss.negative_gradient.any()


def test_objectness_has_one_class_and_no_columns() -> None:
    flat, column = make(1), make(1)
    logits, targets = rows(20, 1, hard=True)
    counted = torch.arange(20) % 2 == 0
    for _ in range(2):
        torch.testing.assert_close(
            flat(logits[:, 0], targets[:, 0], counted), column(logits, targets, counted)[:, 0]
        )
    assert torch.equal(flat.exponents(), column.exponents())
