"""Every figure that the five articles on focal loss print or get wrong, recomputed.

Articles and rows are named as in docs/articles.md. Rows whose article is wrong assert what is true.
"""

import math

import pytest
import torch
from torch import nn

from models.losses import FocalLoss
from models.losses.focal_formula import FocalForm
from tests.models.losses.focal_case import FORMS, bce, focal, logit, slope, tensor
from tests.oracles import naive_focal


class TestWrapper:
    """The wrapper of S0 and S3."""

    def test_f1_reduces_as_told_and_does_not_change_what_it_wraps(self) -> None:
        wrapped = nn.BCEWithLogitsLoss()
        for reduction, shape in (("mean", ()), ("sum", ()), ("none", (3,))):
            wrapped.reduction = reduction
            assert FocalLoss(wrapped)(torch.zeros(3), torch.ones(3)).shape == shape
            assert wrapped.reduction == reduction

    def test_f2_closed_form_on_hard_labels(self) -> None:
        x, t = tensor(0.3, -1.2, 2.5, 0.0), tensor(1, 0, 0, 1)
        p = x.sigmoid()
        positive = 0.25 * (1 - p) ** 1.5 * -p.log()
        negative = 0.75 * p**1.5 * -(1 - p).log()
        expected = torch.where(t == 1, positive, negative)
        torch.testing.assert_close(focal(1.5, 0.25)(x, t), expected)

    @pytest.mark.parametrize("gamma", [0.5, 1.5, 2.0])
    def test_f2_the_slope_goes_through_the_modulating_factor(self, gamma: float) -> None:
        p = tensor(0.1, 0.5, 0.9)
        expected = 0.25 * (1 - p) ** gamma * (gamma * p * p.log() + p - 1)
        torch.testing.assert_close(
            slope(focal(gamma, 0.25), logit(0.1, 0.5, 0.9), torch.ones(3).double()), expected
        )

    def test_f4_exp_and_linear_agree_on_hard_labels_only(self) -> None:
        x = tensor(-2, 0.5, 3)
        for t in (torch.zeros(3).double(), torch.ones(3).double()):
            torch.testing.assert_close(focal(2, 0.25)(x, t), focal(2, 0.25, "exp")(x, t))
        soft = tensor(0.4, 0.7, 0.2)
        assert ((focal(2, 0.25)(x, soft) - focal(2, 0.25, "exp")(x, soft)).abs() > 1e-3).all()

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("gamma", [0.25, 0.5, 0.99, 1.0, 1.5, 2.0, 5.0])
    @pytest.mark.parametrize("x", [8.32, 16.64, 32.1, 120.0])
    def test_f6_gradients_are_finite_where_the_sigmoid_is_saturated(
        self, form: FocalForm, gamma: float, x: float
    ) -> None:
        logits, targets = torch.tensor([x, x, -x, -x]), torch.tensor([0.0, 1, 0, 1])
        gradient = slope(focal(gamma, 0.25, form), logits, targets)
        assert gradient.isfinite().all()
        assert gradient[[0, 3]].abs().min() > 0.2

    def test_f6_the_articles_formula_is_not_a_number_there(self) -> None:
        x = torch.tensor([32.1], requires_grad=True)
        naive_focal(x, torch.ones(1), gamma=0.5, alpha=0.25, form="linear").sum().backward()
        assert x.grad is not None
        assert x.grad.isnan().all()

    def test_f7_a_prediction_of_nine_tenths_counts_one_hundredth(self) -> None:
        x, t = logit(0.9), tensor(1)
        assert (focal(2, None)(x, t) / bce(x, t)).item() == pytest.approx(0.01, rel=1e-12)

    def test_f8_alpha_shifts_weight_from_negatives_to_positives(self) -> None:
        x, t = logit(0.3, 0.3), tensor(1, 0)
        ratios = [focal(2, alpha)(x, t) / focal(2, None)(x, t) for alpha in (0.0, 0.25, 0.75, 1.0)]
        torch.testing.assert_close(
            torch.stack(ratios), torch.tensor([[0, 1], [0.25, 0.75], [0.75, 0.25], [1, 0]]).double()
        )

    def test_f9_the_articles_example_is_valid(self) -> None:
        loss = FocalLoss(nn.BCEWithLogitsLoss(), gamma=2.0, alpha=0.75)
        assert (loss.gamma, loss.alpha) == (2.0, 0.75)

    def test_f10_the_usual_alpha_weakens_positives_three_to_one(self) -> None:
        mirrored = focal(2, 0.25)(logit(0.4, 0.6), tensor(1, 0))
        assert (mirrored[1] / mirrored[0]).item() == pytest.approx(3)

    def test_f11_probabilities_instead_of_logits_are_refused(self) -> None:
        with pytest.raises(TypeError, match="must take logits, not probabilities"):
            FocalLoss(nn.BCELoss())  # type: ignore[arg-type]


# p, y, CE, FL and CE / FL at alpha 0.25, FL and CE / FL at alpha 0.5
TABLE = [
    (0.9, 1, 0.105361, 0.000263401, 400, 0.000526803, 200),
    (0.968, 1, 0.032523, 0.000008326, 3906.25, 0.000016652, 1953.125),
    (0.1, 0, 0.105361, 0.000790204, 133.33, 0.000526803, 200),
    (0.032, 0, 0.032523, 0.000024978, 1302.08, 0.000016652, 1953.125),
    (0.1, 1, 2.302585, 0.466273, 4.938, 0.932547, 2.469),
    (0.9, 0, 2.302585, 1.398820, 1.646, 0.932547, 2.469),
]
# CE, FL, CE / FL as S2 prints them
PRINTED = [
    (0.105, 0.00026, 400),
    (0.033, 0.000008, 3906),
    (0.105, 0.00079, 133),
    (0.033, 0.000025, 1302),
    (2.3, 0.466, 4.9),
    (2.3, 1.4, 1.6),
]


class TestTable:
    """S2 says alpha = 0.5 but printed what alpha = 0.25 gives."""

    @pytest.mark.parametrize("row", TABLE)
    def test_exact_values_for_both_alphas(self, row: tuple[float, ...]) -> None:
        p, y, ce, *rest = row
        x, t = logit(p), tensor(y)
        assert bce(x, t).item() == pytest.approx(ce, abs=6e-7)
        for alpha, loss, ratio in ((0.25, *rest[:2]), (0.5, *rest[2:])):
            got = focal(2, alpha)(x, t).item()
            assert got == pytest.approx(loss, abs=6e-7 if loss > 0.1 else 6e-10)
            assert bce(x, t).item() / got == pytest.approx(ratio, rel=1.1e-4)

    @pytest.mark.parametrize(("row", "printed"), list(zip(TABLE, PRINTED, strict=True)))
    def test_the_article_used_one_quarter_although_it_says_one_half(
        self, row: tuple[float, ...], printed: tuple[float, ...]
    ) -> None:
        x, t = logit(row[0]), tensor(row[1])
        quarter, half = focal(2, 0.25)(x, t).item(), focal(2, 0.5)(x, t).item()
        printed_ce, printed_loss, printed_ratio = printed
        assert bce(x, t).item() == pytest.approx(printed_ce, rel=0.016)
        assert quarter == pytest.approx(printed_loss, rel=0.05)
        assert half != pytest.approx(printed_loss, rel=0.3)
        assert bce(x, t).item() / quarter == pytest.approx(printed_ratio, rel=0.03)

    def test_thirty_objects_against_thirty_thousand_backgrounds(self) -> None:
        objects, background = logit(math.exp(-10)), logit(1 - math.exp(-0.1))
        assert 30 * bce(objects, tensor(1)).item() == pytest.approx(300)
        assert 30_000 * bce(background, tensor(0)).item() == pytest.approx(3000)
        strong = 30 * focal(2, 0.25)(objects, tensor(1)).item()
        weak = 30_000 * focal(2, 0.25)(background, tensor(0)).item()
        assert strong == pytest.approx(74.99, abs=0.005)
        assert weak == pytest.approx(20.38, abs=0.005)
        assert strong / weak == pytest.approx(3.7, abs=0.05)


class TestFourSamples:
    """S4's example."""

    x, t = tensor(2, -1, 3, -2), tensor(1, 0, 1, 0)

    def test_each_column_of_the_table(self) -> None:
        p = self.x.sigmoid()
        p_t = torch.where(self.t == 1, p, 1 - p)
        columns = {
            "p": (p, (0.8807970, 0.2689414, 0.9525741, 0.1192029)),
            "p_t": (p_t, (0.8807971, 0.7310586, 0.9525741, 0.8807971)),
            "BCE": (bce(self.x, self.t), (0.1269280, 0.3132617, 0.0485874, 0.1269280)),
            "factor": ((1 - p_t) ** 2, (0.0142093, 0.0723295, 0.0022492, 0.0142093)),
        }
        for name, (got, expected) in columns.items():
            assert got.tolist() == pytest.approx(expected, abs=1.1e-7), name
        losses = focal(2, 0.25)(self.x, self.t)
        expected = (0.000450891, 0.016993543, 0.000027321, 0.001352672)
        assert losses.tolist() == pytest.approx(expected, abs=6e-10)

    def test_sums_and_means(self) -> None:
        mean = focal(2, 0.25, reduction="mean")(self.x, self.t).item()
        assert mean == pytest.approx(0.00470610669943, abs=6e-15)
        total = focal(2, 0.25, reduction="sum")(self.x, self.t).item()
        assert total == pytest.approx(0.018824427, abs=6e-10)
        assert bce(self.x, self.t).mean().item() == pytest.approx(0.153926265, abs=6e-10)

    def test_the_printed_float32_value_is_the_articles_formula_to_the_last_bit(self) -> None:
        x, t = self.x.float(), self.t.float()
        article = naive_focal(x, t, gamma=2, alpha=0.25, form="exp").mean().item()
        assert article == 0.004706109408289194

    @pytest.mark.parametrize("form", FORMS)
    def test_ours_in_float32_is_that_value_without_its_rounding_error(
        self, form: FocalForm
    ) -> None:
        printed, exact = 0.004706109408289194, 0.00470610669943
        got = focal(2, 0.25, form, "mean")(self.x.float(), self.t.float()).item()
        assert got == pytest.approx(printed, rel=1e-6)
        assert abs(got - exact) < abs(printed - exact) / 10

    def test_shares_move_to_sample_two_and_every_loss_shrinks(self) -> None:
        plain, weighed = bce(self.x, self.t), focal(2, 0.25)(self.x, self.t)
        assert (plain / plain.sum()).tolist() == pytest.approx(
            [0.206, 0.509, 0.079, 0.206], abs=6e-4
        )
        assert (weighed / weighed.sum()).tolist() == pytest.approx(
            [0.024, 0.903, 0.001, 0.072], abs=6e-4
        )
        assert (weighed < plain).all()
        assert (plain / weighed)[1].item() == pytest.approx(18.4, abs=0.05)

    def test_a_gradient_may_exceed_that_of_bce_but_little_and_only_for_wrong_predictions(
        self,
    ) -> None:
        p = torch.linspace(0.0005, 0.9995, 19_981, dtype=torch.float64)
        t = torch.ones_like(p)
        plain = nn.BCEWithLogitsLoss(reduction="none")
        ratio = slope(focal(2, None), p.logit(), t) / slope(plain, p.logit(), t)
        assert ratio.max().item() == pytest.approx(1.225, abs=5e-4)
        assert p[ratio.argmax()].item() == pytest.approx(0.104, abs=5e-4)
        assert p[ratio > 1].max().item() == pytest.approx(0.298, abs=5e-4)


class TestDetectorSnippet:
    """S3's example, whose result the article does not print."""

    x, t = torch.tensor([[3e-2, 32.1, 6e-4]]), torch.tensor([[0.0, 1.0, 0.0]])

    def loss(self, gamma: float, alpha: float | None, reduction: str = "mean") -> FocalLoss:
        wrapped = nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0]), reduction=reduction)
        return FocalLoss(wrapped, gamma, alpha)

    def test_elements_mean_and_sum(self) -> None:
        parts = self.loss(2, 0.25, "none")(self.x, self.t)
        assert parts.flatten().tolist() == pytest.approx([0.136812225, 0, 0.130099401], abs=3e-8)
        mean = self.loss(2, 0.25)(self.x, self.t).item()
        assert mean == pytest.approx(0.088970542, abs=1e-8)
        exact = self.loss(2, 0.25)(tensor(3e-2, 32.1, 6e-4), tensor(0, 1, 0)).item()
        assert exact == pytest.approx(0.0889705352, abs=6e-11)
        total = self.loss(2, 0.25, "sum")(self.x, self.t).item()
        assert total == pytest.approx(0.266911626, abs=3e-8)

    def test_slopes(self) -> None:
        gradient = slope(self.loss(2, 0.25), self.x, self.t)
        assert gradient.flatten().tolist() == pytest.approx([0.0775974, 0, 0.0746316], abs=6e-8)

    @pytest.mark.parametrize(
        ("gamma", "alpha", "expected"),
        [(1.5, 0.25, 0.125335857), (2, 0.5, 0.059313696), (0, None, 0.467235655)],
    )
    def test_other_settings(self, gamma: float, alpha: float | None, expected: float) -> None:
        assert self.loss(gamma, alpha)(self.x, self.t).item() == pytest.approx(expected, abs=3e-8)

    @pytest.mark.parametrize("gamma", [0.25, 0.5, 0.99, 1, 1.5, 2, 5])
    def test_its_gradient_is_finite_for_every_gamma(self, gamma: float) -> None:
        for scale in (1.0, -1.0, 120 / 32.1, -120 / 32.1):
            assert slope(self.loss(gamma, 0.25), self.x * scale, self.t).isfinite().all()
