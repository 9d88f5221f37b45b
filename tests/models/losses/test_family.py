"""What all losses of objectness and classification have in common, over the whole catalogue."""

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models.losses.focal_case import tensor, value_and_slope
from tests.models.losses.loss_settings import ALL_NAMES, ELEMENTWISE_NAMES, build, rows
from tests.models.losses.slow_losses import ELEMENTWISE

X, T = tensor(2, -1, 3, -2), tensor(1, 0, 1, 0)
SOFT = tensor(0.7, 0, 0.9, 0)

GOLDEN: list[tuple[str, dict[str, Any], Tensor, tuple[str, ...]]] = [
    ("bce", {}, T, (".12692801", ".31326169", ".04858735", ".12692801")),
    ("focal", {"gamma": 1.5}, T, (".00130595", ".03276839", ".00012545", ".00391786")),
    ("bce", {}, SOFT, (".72692801", ".31326169", ".34858735", ".12692801")),
    (
        "focal",
        {"gamma": 1.5, "form": "linear"},
        SOFT,
        (".05961055", ".03276839", ".00535762", ".00391786"),
    ),
    ("quality", {}, SOFT, (".02376152", ".02265806", ".00096351", ".00180356")),
    (
        "quality",
        {"beta": 1.5, "alpha": 0.25},
        SOFT,
        (".02235314", ".03276839", ".00126064", ".00391786"),
    ),
    ("varifocal", {}, SOFT, (".50884961", ".01699354", ".31372862", ".00135267")),
    ("asymmetric", {}, T, (".12692801", ".00056780", ".04858735", ".00000164")),
    (
        "asymmetric",
        {"gamma_positive": 1},
        T,
        (".01513019", ".00056780", ".00230430", ".00000164"),
    ),
    ("poly", {}, T, (".24613093", ".58220311", ".09601322", ".24613093")),
    ("poly", {"epsilon": -1}, T, (".00772509", ".04432027", ".00116148", ".00772509")),
    ("poly_focal", {}, T, (".00087434", ".03158284", ".00005399", ".00262302")),
    ("ghm", {"bins": 10}, T, (".02538560", ".12530468", ".01943494", ".02538560")),
    (
        "ghm",
        {"bins": 10, "divide_by": "occupied"},
        T,
        (".08461867", ".41768225", ".06478314", ".08461867"),
    ),
    ("focal_star", {}, T, (".00335767", ".02429368", ".00045573", ".00335767")),
    (
        "focal_star",
        {"gamma": 4, "beta": 0},
        T,
        (".00008385", ".00453748", ".00000154", ".00008385"),
    ),
]


@pytest.mark.parametrize(("name", "stated", "targets", "printed"), GOLDEN)
def test_published_values_to_the_printed_digits(
    name: str, stated: dict[str, Any], targets: Tensor, printed: tuple[str, ...]
) -> None:
    got = build(name, **stated)(X, targets)
    assert [f"{value:.8f}".removeprefix("0") for value in got.tolist()] == list(printed)


VARIANTS: dict[str, list[dict[str, Any]]] = {
    "bce": [{}, {"pos_weight": 3.0}],
    "bce_alpha": [{"alpha": 0.25}, {"alpha": 1.0}],
    "focal": [
        {"gamma": gamma, "alpha": alpha, "form": form}
        for gamma, alpha, form in itertools.product(
            (0.0, 0.5, 2.0), (None, 0.25), ("linear", "exp", "quality")
        )
    ],
    "focal_star": [{}, {"gamma": 4.0, "beta": 0.0}],
    "varifocal": [{}, {"alpha": 2.0, "gamma": 0.5}, {"gamma": 0.0}],
    "asymmetric": [
        {"gamma_positive": positive, "gamma_negative": negative, "margin": margin}
        for positive, negative, margin in itertools.product(
            (0.0, 0.5, 2.0), (1.0, 1.5, 4.0), (0.0, 0.05, 0.4)
        )
    ],
    "poly": [{}, {"epsilon": -1.0}, {"epsilon": 2.5}],
    "poly_focal": [{}, {"gamma": 0.5, "alpha": None, "epsilon": -1.0}, {"gamma": 0.0}],
    "reduced_focal": [{}, {"gamma": 0.5, "alpha": None, "threshold": 0.3}, {"gamma": 0.0}],
    "bce_blur": [{}, {"temperature": 0.5}],
}


def test_every_elementwise_loss_without_state_has_an_oracle() -> None:
    assert (
        set(VARIANTS)
        == set(ELEMENTWISE)
        == set(ELEMENTWISE_NAMES)
        - {
            "quality",  # focal with form: quality
            "ghm",
            "equalized_focal",
        }
    )


@pytest.mark.parametrize(
    ("name", "stated"), [(name, case) for name in VARIANTS for case in VARIANTS[name]]
)
def test_each_element_is_the_slow_one(name: str, stated: dict[str, Any]) -> None:
    logits, targets = rows(40, 2)
    targets[:6], targets[6:12] = 0, 1
    got = build(name, **stated)(logits, targets)
    keys = {"gamma": 2.0, "alpha": 0.25} if name == "focal" else DEFAULTS.get(name, {})
    slow = ELEMENTWISE[name]
    expected = [
        slow(x, t, **{**keys, **stated})
        for x, t in zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True)
    ]
    torch.testing.assert_close(got.flatten(), tensor(*expected), rtol=1e-9, atol=1e-13)


DEFAULTS: dict[str, dict[str, float]] = {
    "focal_star": {"gamma": 2.0, "beta": 1.0},
    "varifocal": {"alpha": 0.75, "gamma": 2.0},
    "poly": {"epsilon": 1.0},
    "poly_focal": {"gamma": 2.0, "alpha": 0.25, "epsilon": 1.0},
    "reduced_focal": {"gamma": 2.0, "alpha": 0.25, "threshold": 0.5},
    "bce_blur": {"temperature": 0.05},
}
"""What the papers use; the oracles have no defaults."""


def test_quality_is_focal_with_the_quality_form() -> None:
    logits, targets = rows(40, 2)
    for beta, alpha in ((2.0, None), (1.5, 0.25)):
        quality = build("quality", beta=beta, alpha=alpha)
        focal = build("focal", gamma=beta, alpha=alpha, form="quality")
        assert torch.equal(quality(logits, targets), focal(logits, targets))


# The weights of seesaw carry no gradient: test_softmax.py.
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(ALL_NAMES) - {"seesaw"}))
@pytest.mark.parametrize("hard", [False, True])
def test_the_slope_is_the_derivative_of_the_value(name: str, hard: bool) -> None:
    logits, targets = rows(5, 3, hard=hard)
    for stated in VARIANTS.get(name, [{}]):
        loss = build(name, 3, **stated).eval()
        assert torch.autograd.gradcheck(
            lambda x, loss=loss: loss(x, targets), (logits.clone().requires_grad_(),)
        )


OURS = sorted(set(ALL_NAMES) - {"bce"})
"""bce is torch's own: the criterion hands it float32 logits and detached targets."""
GAMMAS = (0.0, 0.25, 0.5, 0.99, 1.0, 2.0, 5.0, 10.0)
EXPONENTS: dict[str, tuple[str, tuple[float, ...]]] = {
    "focal_star": ("gamma", GAMMAS[1:]),
    "quality": ("beta", GAMMAS),
    "asymmetric": ("gamma_negative", GAMMAS[4:]),
    "equalized_focal": ("gamma", GAMMAS[1:]),
    **{
        name: ("gamma", GAMMAS)
        for name in (
            "focal",
            "varifocal",
            "poly_focal",
            "reduced_focal",
            "softmax_focal",
            "focal_dice",
            "softmax_focal_dice",
        )
    },
}
TAILS = (0.0, 1e-3, 1.0, 6.3, 8.4, 16.7, 32.1, 88.0, 104.0, 120.0, 1e3, 1e4)


def extreme_variants() -> list[tuple[str, dict[str, Any]]]:
    cases: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in ALL_NAMES]
    for name, (key, values) in EXPONENTS.items():
        cases += [(name, {key: value}) for value in values]
    cases += [("asymmetric", {"gamma_positive": gamma, "margin": 0.0}) for gamma in GAMMAS]
    cases += [("focal", {"gamma": gamma, "form": "linear"}) for gamma in GAMMAS]
    return cases


EXTREME = [
    (name, stated, dtype)
    for dtype in (torch.float32, torch.bfloat16, torch.float16)
    for name, stated in extreme_variants()
    if name in OURS or dtype == torch.float32
]


@pytest.mark.parametrize(("name", "stated", "dtype"), EXTREME)
def test_value_and_slope_are_finite_at_any_logit(
    name: str, stated: dict[str, Any], dtype: torch.dtype
) -> None:
    logits = [sign * x for x in TAILS for sign in (1, -1)]
    targets = [0.0, 1e-30, 1e-7, 0.3, 0.5, 1 - 1e-7, 1.0]
    table = torch.tensor(list(itertools.product(logits, targets)))
    x = table[:, 0].view(-1, 7).to(dtype).requires_grad_()
    loss = build(name, 7, **stated)
    for _ in range(2):  # the second call of a loss with state starts from an extreme one
        values = loss(x, table[:, 1].view(-1, 7))
        (slope,) = torch.autograd.grad(values.sum(), x)
        assert values.dtype == torch.float32
        assert values.isfinite().all()
        assert slope.isfinite().all()
        assert values.min() >= 0


@pytest.mark.parametrize("name", ALL_NAMES)
@pytest.mark.parametrize(("count", "classes"), [(0, 3), (0, 1), (1, 3), (1, 1), (4, 1)])
def test_no_row_one_row_and_one_class(name: str, count: int, classes: int) -> None:
    loss = build(name, classes)
    logits, targets = rows(count, classes, hard=True)
    values, slope = value_and_slope(loss, logits, targets)
    assert values.shape in ((count,), (count, classes))
    assert slope.shape == (count, classes)
    assert values.isfinite().all()
    assert slope.isfinite().all()
    if name in ELEMENTWISE_NAMES:
        assert values.shape == (count, classes)
        if classes == 1:
            flat = build(name, 1)(logits[:, 0], targets[:, 0])
            torch.testing.assert_close(flat, values[:, 0])


@pytest.mark.parametrize("name", ALL_NAMES)
def test_targets_of_another_shape_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)size|shape"):
        build(name, 3)(torch.zeros(4, 3), torch.zeros(4, 2))


@pytest.mark.parametrize("name", OURS)
def test_no_gradient_flows_to_the_targets(name: str) -> None:
    logits, targets = rows(4, 3)
    loss = build(name, 3)(logits.requires_grad_(), targets.requires_grad_()).sum()
    (gradient,) = torch.autograd.grad(loss, targets, allow_unused=True)
    assert gradient is None


@pytest.mark.parametrize("name", ALL_NAMES)
def test_what_goes_in_stays_as_it_was(name: str) -> None:
    logits, targets = rows(6, 3, hard=True)
    before = logits.clone(), targets.clone()
    build(name, 3)(logits, targets)
    assert torch.equal(logits, before[0])
    assert torch.equal(targets, before[1])


@pytest.mark.parametrize("name", sorted(set(ELEMENTWISE_NAMES) - {"ghm", "equalized_focal"}))
def test_many_elements_in_blocks_are_what_each_part_is(name: str) -> None:
    logits, targets = rows(40_000, 2)
    loss = build(name, 2)
    whole = value_and_slope(loss, logits, targets)
    end = value_and_slope(loss, logits[39_000:], targets[39_000:])
    for all_rows, last_rows in zip(whole, end, strict=True):
        torch.testing.assert_close(all_rows[39_000:], last_rows)


def test_blur_forgives_a_confident_positive_without_a_label() -> None:
    blur = build("bce_blur")
    x = tensor(math.log(0.99 / 0.01), math.log(0.01 / 0.99))
    kept = (blur(x, tensor(0, 1)) / build("bce")(x, tensor(0, 1))).tolist()
    assert kept[0] == pytest.approx(1 - math.exp(-0.01 / 0.0501), rel=1e-9)
    assert kept[1] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("alpha", [None, 0.25])
def test_hard_targets_make_focal_and_quality_one(alpha: float | None) -> None:
    logits, targets = rows(30, 3, hard=True)
    focal: nn.Module = build("focal", gamma=2.0, alpha=alpha, form="linear")
    quality = build("quality", beta=2.0, alpha=alpha)
    torch.testing.assert_close(focal(logits, targets), quality(logits, targets))


@pytest.mark.parametrize("name", ["focal", "quality"])
def test_equal_alphas_by_class_are_one_alpha(name: str) -> None:
    logits, targets = rows(30, 3)
    key = "gamma" if name == "focal" else "beta"
    for exponent in (0.0, 1.5):
        one = build(name, 3, **{key: exponent, "alpha": 0.3})
        each = build(name, 3, **{key: exponent, "alpha": (0.3, 0.3, 0.3)})
        for got, expected in zip(
            value_and_slope(each, logits, targets),
            value_and_slope(one, logits, targets),
            strict=True,
        ):
            torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-12)


def test_alphas_by_class_are_those_of_the_columns() -> None:
    logits, targets = rows(30, 3)
    alphas = (0.1, 0.5, 0.9)
    for gamma in (0.0, 1.5):
        together = build("focal", 3, gamma=gamma, alpha=alphas)(logits, targets)
        for column, alpha in enumerate(alphas):
            alone = build("focal", gamma=gamma, alpha=alpha)(logits[:, column], targets[:, column])
            torch.testing.assert_close(together[:, column], alone, rtol=1e-6, atol=1e-12)
