"""What the articles say about cross-entropy: docs/articles.md#cross-entropy, rows B1 to B15."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from models.losses import FocalLoss
from tests.models.losses.focal_case import FORMS, focal, slope, tensor


class TestCrossEntropy:
    """What S3 says about cross-entropy."""

    def test_b2_mean_and_parts_of_bce(self) -> None:
        p, y = torch.tensor([0.2, 0.8, 0.6, 0.3]), torch.tensor([0.0, 1.0, 1.0, 0.0])
        parts = nn.BCELoss(reduction="none")(p, y)
        expected = [0.2231435, 0.2231435, 0.5108256, 0.3566749]
        assert parts.tolist() == pytest.approx(expected, abs=1e-7)
        ours = focal(0, None, reduction="mean")(p.logit(), y)
        assert ours.item() == pytest.approx(0.3284469247, abs=6e-8)

    def test_b3_sigmoid_and_log_by_hand(self) -> None:
        x = torch.tensor([[1.0, -1, 2], [-0.5, 0.5, -1.5]])
        t = torch.tensor([[1.0, 0, 1], [0, 1, 0]])
        p = x.sigmoid()
        by_hand = -(t * (p + 1e-9).log() + (1 - t) * (1 - p + 1e-9).log()).mean()
        assert by_hand.item() == pytest.approx(0.3171697855, abs=6e-8)
        ours = focal(0, None, reduction="mean")(x, t)
        assert ours.item() == pytest.approx(0.3171697557, abs=3e-8)

    def test_b5_probabilities_are_cut_at_a_loss_of_100_and_logits_are_not(self) -> None:
        assert nn.BCELoss()(torch.zeros(1), torch.ones(1)).item() == 100
        for gamma in (0.0, 2.0):
            assert focal(gamma, None)(tensor(-200), tensor(1)).item() == pytest.approx(200)

    def test_b6_a_positive_loses_nothing_at_one_and_everything_at_zero(self) -> None:
        right, wrong = focal(0, None)(tensor(40, -40), tensor(1, 1)).tolist()
        assert right < 1e-15
        assert wrong == pytest.approx(40)

    def test_b7_pos_weight_multiplies_the_positive_part_only(self) -> None:
        x, t, weight = tensor(2), tensor(1), tensor(3)
        weighted = nn.BCEWithLogitsLoss(pos_weight=weight, reduction="none")
        assert torch.exp(-weighted(x, t)).item() == pytest.approx(0.6833, abs=5e-5)
        assert x.sigmoid().item() == pytest.approx(0.8808, abs=5e-5)
        for form in FORMS:  # the factor sees p, not p^3
            loss = FocalLoss(weighted, 2, None, form=form)
            torch.testing.assert_close(loss(x, t), 3 * focal(2, None, form)(x, t))
            torch.testing.assert_close(loss(x, 1 - t), focal(2, None, form)(x, 1 - t))

    def test_b9_cross_entropy_is_log_softmax_and_nll(self) -> None:
        x, t = torch.tensor([[2.0, 1, 0.1], [1, 0.2, 1.5]]), torch.tensor([0, 2])
        assert torch.equal(F.cross_entropy(x, t), F.nll_loss(F.log_softmax(x, 1), t))

    def test_b10_softmax_of_one_two_three(self) -> None:
        got = tensor(1, 2, 3).softmax(0).tolist()
        assert got == pytest.approx([0.09003057, 0.24472848, 0.66524094], abs=3e-8)

    def test_b11_cross_entropy_of_two_rows(self) -> None:
        x = torch.tensor([[2, 1, 0.1], [1, 0.2, 1.5]], dtype=torch.float64)
        rows = F.cross_entropy(x, torch.tensor([0, 2]), reduction="none")
        assert rows.tolist() == pytest.approx([0.4170299, 0.6307730], abs=2e-7)
        assert rows.mean().item() == pytest.approx(0.5239014625, abs=3e-8)

    def test_b12_two_class_cross_entropy_is_bce_of_the_difference(self) -> None:
        z = torch.linspace(-6, 6, 25)
        for t in (0, 1):
            labels, targets = torch.full((25,), t), torch.full((25,), float(t))
            ce = F.cross_entropy(torch.stack((z / 3, z), 1), labels, reduction="none")
            torch.testing.assert_close(ce, focal(0, None)(z - z / 3, targets))

    def test_b15_gradients_of_two_backward_calls_add_up(self) -> None:
        x, t = tensor(0.7).requires_grad_(), tensor(1)
        once = slope(focal(2, 0.25), x.detach(), t)
        for times in (1, 2):
            focal(2, 0.25, reduction="sum")(x, t).backward()
            assert x.grad is not None
            torch.testing.assert_close(x.grad, once * times)
