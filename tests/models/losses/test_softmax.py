import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from models.losses.softmax import SeesawLoss, SoftmaxLoss
from tests.models.losses.focal_case import slope, tensor, value_and_slope
from tests.models.losses.loss_settings import rows
from tests.models.losses.slow_losses import SlowSeesaw, softmax, softmax_focal

B11 = torch.tensor([[2, 1, 0.1], [1, 0.2, 1.5]], dtype=torch.float64)
B11_TARGETS = F.one_hot(torch.tensor([0, 2]), 3).double()


class TestSoftmax:
    """The article's figures were printed in float32, which holds them to 3e-8."""

    @pytest.mark.parametrize(
        ("gamma", "printed"),
        [(0, 0.52390146), (1, 0.21864736), (2, 0.09327015), (5, 0.00802840)],
    )
    def test_m1_means_of_the_article(self, gamma: float, printed: float) -> None:
        for logits in (B11, B11.float()):
            mean = SoftmaxLoss(gamma=gamma)(logits, B11_TARGETS).mean().item()
            assert mean == pytest.approx(printed, abs=4e-8)

    def test_m1_rows_of_the_article(self) -> None:
        got = SoftmaxLoss(gamma=2)(B11, B11_TARGETS).tolist()
        assert got == pytest.approx([0.04849232, 0.13804798], abs=3e-8)

    @pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
    def test_each_row_is_the_slow_one(self, gamma: float) -> None:
        logits, targets = rows(20, 4)
        expected = [
            softmax_focal(row, wanted, gamma=gamma)
            for row, wanted in zip(logits.tolist(), targets.tolist(), strict=True)
        ]
        torch.testing.assert_close(SoftmaxLoss(gamma=gamma)(logits, targets), tensor(*expected))

    def test_without_gamma_it_is_torchs_cross_entropy(self) -> None:
        logits, targets = rows(20, 4)
        torch.testing.assert_close(
            SoftmaxLoss()(logits, targets), F.cross_entropy(logits, targets, reduction="none")
        )

    @pytest.mark.parametrize("gamma", [0.25, 0.5, 0.99, 2.0])
    def test_a_certain_row_costs_nothing_and_has_a_finite_slope(self, gamma: float) -> None:
        logits = torch.tensor([[30.0, 0, 0], [1e4, -1e4, 0], [-1e4, 0, 1e4]])
        targets = torch.tensor([[1.0, 0, 0]] * 3)
        values, gradient = value_and_slope(SoftmaxLoss(gamma=gamma), logits, targets)
        assert values.tolist() == pytest.approx([0, 0, 2e4], abs=1e-6)
        assert gradient.isfinite().all()
        assert gradient[2].tolist() == pytest.approx([-1, 0, 1], abs=1e-6)

    def test_gamma_never_raises_a_loss(self) -> None:
        logits, targets = rows(50, 4, hard=True)
        plain = SoftmaxLoss()(logits, targets)
        for gamma in (0.25, 1.0, 5.0):
            assert (SoftmaxLoss(gamma=gamma)(logits, targets) <= plain).all()


class TestSeesaw:
    @pytest.mark.parametrize(("mitigation", "compensation"), [(0.8, 2), (0, 0), (0.8, 0), (0, 2)])
    def test_several_batches_are_the_slow_ones(
        self, mitigation: float, compensation: float
    ) -> None:
        loss = SeesawLoss(4, mitigation=mitigation, compensation=compensation)
        slow = SlowSeesaw(4, mitigation=mitigation, compensation=compensation)
        for batch in range(3):
            logits, _ = rows(15, 4, seed=batch)
            # The last class is never seen, the first often.
            labels = torch.tensor([0] * 8 + [1] * 5 + [2] * 2)
            got = loss(logits, F.one_hot(labels, 4).double())
            expected = slow(logits.tolist(), labels.tolist())
            torch.testing.assert_close(got, tensor(*expected))
            assert loss.class_counts.tolist() == slow.counts

    def test_without_its_exponents_it_is_softmax(self) -> None:
        logits, targets = rows(20, 3, hard=True)
        loss = SeesawLoss(3, mitigation=0, compensation=0)
        torch.testing.assert_close(loss(logits, targets), SoftmaxLoss()(logits, targets))

    def test_a_soft_row_weighs_its_highest_target(self) -> None:
        logits, targets = rows(20, 3, hard=True)
        full = SeesawLoss(3, mitigation=0.8, compensation=2)(logits, targets)
        soft = SeesawLoss(3, mitigation=0.8, compensation=2)(logits, targets * 0.6)
        torch.testing.assert_close(soft, full * 0.6)

    def test_rows_that_do_not_count_or_have_no_class_are_not_counted(self) -> None:
        loss = SeesawLoss(2, mitigation=0.8, compensation=2)
        targets = torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 0]])
        loss(torch.zeros(4, 2), targets, torch.tensor([True, False, True, True]))
        assert loss.class_counts.tolist() == [1, 1]
        loss(torch.zeros(4, 2), targets)
        assert loss.class_counts.tolist() == [3, 2]

    def test_evaluation_weighs_alike_and_remembers_nothing(self) -> None:
        logits, targets = rows(20, 3, hard=True)
        loss = SeesawLoss(3, mitigation=0.8, compensation=2).eval()
        seen = loss(logits, targets)
        assert not loss.class_counts.any()
        assert torch.equal(loss.train()(logits, targets), seen)
        assert loss.class_counts.sum() == (targets.sum(1) > 0).sum()

    def test_a_rare_class_is_pushed_down_less_by_a_frequent_one(self) -> None:
        loss = SeesawLoss(2, mitigation=0.8, compensation=0)
        loss.class_counts.copy_(tensor(99, 10))
        logits, targets = torch.zeros(1, 2).double(), torch.tensor([[1.0, 0]]).double()
        # The true class is frequent: its rival, the rare one, gets (10 / 100)^0.8 of the push.
        pushed = slope(loss, logits, targets)[0, 1].item()
        factor = 0.1**0.8
        assert pushed == pytest.approx(factor / (1 + factor))

    def test_no_gradient_flows_through_the_weights(self) -> None:
        logits, targets = rows(6, 3)
        targets = F.one_hot(targets.argmax(1), 3).double()
        got = slope(SeesawLoss(3, mitigation=0.8, compensation=2), logits, targets)
        counts = targets.sum(0).tolist()
        for row, true, found in zip(
            logits.tolist(), targets.argmax(1).tolist(), got.tolist(), strict=True
        ):
            p = softmax(row)
            factors = [
                min(1.0, (max(counts[j], 1) / max(counts[true], 1)) ** 0.8)
                * max(1.0, p[j] / p[true]) ** 2
                for j in range(3)
            ]
            below = sum(f * q for f, q in zip(factors, p, strict=True))
            expected = [
                f * q / below - (j == true) for j, (f, q) in enumerate(zip(factors, p, strict=True))
            ]
            assert found == pytest.approx(expected)
