"""What focal loss does to soft objectness targets and to the scale of the loss.

The figures are those of docs/losses.md#why-fl_gamma-disappointed-you, items 2 and 3.
"""

import math

import pytest
import torch

from models.losses import FocalLoss
from models.losses.focal_formula import FocalForm
from tests.models.losses.focal_case import FORMS, bce, focal, tensor


class TestSoftTargets:
    """Three forms that are one on hard targets and three on soft ones."""

    @pytest.mark.parametrize("t", [0.1, 0.3, 0.5, 0.7, 0.9])
    def test_bce_exp_and_quality_are_least_at_the_target(self, t: float) -> None:
        for gamma, form in ((0, "linear"), (2, "exp"), (2, "quality"), (0.5, "quality")):
            assert self.minimiser(focal(gamma, None, form), t) == pytest.approx(t, abs=1e-4)

    @pytest.mark.parametrize(
        ("t", "expected"),
        [
            (0.1, (0.030, 0.019, 0.014, 0.008)),
            (0.3, (0.194, 0.154, 0.122, 0.081)),
            (0.5, (0.5, 0.5, 0.5, 0.5)),
            (0.7, (0.806, 0.846, 0.878, 0.919)),
            (0.9, (0.970, 0.981, 0.986, 0.992)),
        ],
    )
    def test_the_linear_form_drives_soft_targets_to_the_ends(
        self, t: float, expected: tuple[float, ...]
    ) -> None:
        got = [self.minimiser(focal(gamma, None), t) for gamma in (1, 1.5, 2, 3)]
        assert got == pytest.approx(expected, abs=6e-4)

    @staticmethod
    def minimiser(loss: FocalLoss, t: float) -> float:
        p = torch.linspace(0.0001, 0.9999, 9_999, dtype=torch.float64)
        return p[loss(p.logit(), torch.full_like(p, t)).argmin()].item()

    @pytest.mark.parametrize(
        ("gamma", "alpha", "form", "expected"),
        [
            (0, None, "linear", (0.72692801, 0.31326169, 0.34858735, 0.12692801)),
            (1.5, 0.25, "linear", (0.05961055, 0.03276839, 0.00535762, 0.00391786)),
            (2, None, "quality", (0.02376152, 0.02265806, 0.00096351, 0.00180356)),
            (1.5, 0.25, "quality", (0.02235314, 0.03276839, 0.00126064, 0.00391786)),
        ],
    )
    def test_elements_on_soft_targets(
        self, gamma: float, alpha: float | None, form: FocalForm, expected: tuple[float, ...]
    ) -> None:
        x, q = tensor(2, -1, 3, -2), tensor(0.7, 0, 0.9, 0)
        assert focal(gamma, alpha, form)(x, q).tolist() == pytest.approx(expected, abs=6e-9)

    @pytest.mark.parametrize(
        ("gamma", "alpha", "expected"),
        [
            (0, None, (0.12692801, 0.31326169, 0.04858735, 0.12692801)),
            (1.5, 0.25, (0.00130595, 0.03276839, 0.00012545, 0.00391786)),
        ],
    )
    def test_elements_on_hard_targets(
        self, gamma: float, alpha: float | None, expected: tuple[float, ...]
    ) -> None:
        x, t = tensor(2, -1, 3, -2), tensor(1, 0, 1, 0)
        for form in FORMS:
            assert focal(gamma, alpha, form)(x, t).tolist() == pytest.approx(expected, abs=6e-9)


class TestScale:
    """2B.7: how much smaller the objectness loss of an untrained detector gets."""

    levels = ((80, 60, 4.0, 8), (40, 40, 1.0, 16), (20, 20, 0.4, 32))

    def objectness(self, gamma: float, alpha: float | None) -> tuple[float, float, float]:
        """Total, share of positives and of negatives; positives have IoU one half."""
        positives = negatives = 0.0
        for side, matches, balance, stride in self.levels:
            x = tensor(math.log(8 / (640 / stride) ** 2))
            cells = 3 * side * side
            loss = focal(gamma, alpha)
            positives += balance * matches * loss(x, tensor(0.5)).item() / cells
            negatives += balance * (cells - matches) * loss(x, tensor(0)).item() / cells
        return positives + negatives, positives, negatives

    @pytest.mark.parametrize(
        ("gamma", "alpha", "total", "ratio"),
        [(0, None, 0.0948, 4.4), (1.5, 0.25, 0.01364, 778), (2, 0.25, 0.00964, 4111)],
    )
    def test_published_figures_at_the_start(
        self, gamma: float, alpha: float | None, total: float, ratio: float
    ) -> None:
        got, positives, negatives = self.objectness(gamma, alpha)
        assert got == pytest.approx(total, rel=1e-3)
        assert positives / negatives == pytest.approx(ratio, rel=0.02)

    def test_one_easy_negative_counts_thirty_thousand_times_less(self) -> None:
        x, t = tensor(math.log(8 / 80**2)), tensor(0)
        assert (bce(x, t) / focal(1.5, 0.25)(x, t)).item() == pytest.approx(30_226, abs=1)
