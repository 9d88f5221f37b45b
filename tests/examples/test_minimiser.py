"""Where losses are least, on soft and on hard targets, and each docstring that says so.

The tables are those of docs/losses/minimisers.md and docs/losses.md#what-focal-loss-does-to-scores.
"""

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from examples.minimiser import hard_target_minimiser, soft_target_minimiser
from tests.models.losses.loss_settings import ELEMENTWISE_NAMES, build

TRUE_TO_THE_TARGET: list[tuple[str, dict[str, Any]]] = [
    ("bce", {}),
    *(
        ("focal", {"gamma": gamma, "alpha": alpha, "form": form})
        for gamma in (0.5, 1.5, 3.0)
        for alpha in (None, 0.25)
        for form in ("exp", "quality")
    ),
    ("bce_alpha", {"alpha": 0.25}),
    ("focal", {"gamma": 0.0, "alpha": 0.25, "form": "linear"}),
    ("quality", {}),
    ("quality", {"beta": 1.5, "alpha": 0.25}),
    ("varifocal", {}),
]
ELSEWHERE = {
    "focal_star",
    "asymmetric",
    "poly",
    "poly_focal",
    "reduced_focal",
    "equalized_focal",
    "bce_blur",
}


class _Square(nn.Module):
    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return (logits.sigmoid() - targets).square()


@settings(max_examples=15)
@given(t=st.floats(0.001, 0.999))
def test_the_search_finds_a_known_minimum(t: float) -> None:
    assert soft_target_minimiser(_Square(), t) == pytest.approx(t, abs=1e-7)
    assert hard_target_minimiser(_Square(), t) == pytest.approx(t, abs=1e-7)


@settings(max_examples=25)
@given(t=st.floats(0.005, 0.995), case=st.sampled_from(TRUE_TO_THE_TARGET))
def test_the_minimum_is_at_the_target_where_we_say_so(
    t: float, case: tuple[str, dict[str, Any]]
) -> None:
    name, stated = case
    assert soft_target_minimiser(build(name, **stated), t) == pytest.approx(t, abs=2e-6)


def test_each_docstring_says_which_it_is() -> None:
    for name in set(ELEMENTWISE_NAMES) - {"bce", "ghm"}:
        text = " ".join((inspect.getdoc(type(build(name))) or "").split()).lower()
        says = "minimum at p = t" in text and "minimum at p = t only" not in text
        assert says == (name in {"focal", "quality", "bce_alpha", "varifocal"}), name
    assert {name for name, _ in TRUE_TO_THE_TARGET} | ELSEWHERE | {"ghm"} == set(ELEMENTWISE_NAMES)


@pytest.mark.parametrize("name", sorted(ELSEWHERE - {"bce_blur"}))
@pytest.mark.parametrize("t", [0.1, 0.3, 0.7, 0.9])
def test_the_others_are_least_elsewhere(name: str, t: float) -> None:
    assert abs(soft_target_minimiser(build(name).eval(), t) - t) > 0.005


TABLE = {  # docs/losses/minimisers.md: t, and p of the linear form at gamma 1, 1.5, 2, 3
    0.1: (0.030, 0.019, 0.014, 0.008),
    0.3: (0.194, 0.154, 0.122, 0.081),
    0.5: (0.5, 0.5, 0.5, 0.5),
    0.7: (0.806, 0.846, 0.878, 0.919),
    0.9: (0.970, 0.981, 0.986, 0.992),
}


@pytest.mark.parametrize("t", TABLE)
def test_the_table_of_soft_targets_to_the_printed_digits(t: float) -> None:
    linear = [
        soft_target_minimiser(build("focal", gamma=gamma, alpha=None, form="linear"), t)
        for gamma in (1.0, 1.5, 2.0, 3.0)
    ]
    assert linear == pytest.approx(TABLE[t], abs=5.1e-4)
    true = (
        build("bce"),
        build("focal", gamma=2.0, alpha=None, form="exp"),
        build("quality", beta=2.0),
    )
    assert [soft_target_minimiser(loss, t) for loss in true] == pytest.approx([t] * 3, abs=1e-6)


# docs/losses.md#what-focal-loss-does-to-scores
HARD = {  # share of positives, and p at (gamma, alpha) of COLUMNS
    0.01: (0.073, 0.154, 0.305, 0.108, 0.214),
    0.1: (0.226, 0.306, 0.403, 0.227, 0.399),
    0.5: (0.5, 0.5, 0.5, 0.399, 0.601),
    0.9: (0.774, 0.694, 0.597, 0.601, 0.773),
    0.99: (0.927, 0.846, 0.695, 0.786, 0.892),
}
COLUMNS = ((1.0, None), (2.0, None), (5.0, None), (2.0, 0.25), (2.0, 0.75))


@pytest.mark.parametrize("share", HARD)
def test_focal_scores_are_no_probabilities(share: float) -> None:
    got = [
        hard_target_minimiser(build("focal", gamma=gamma, alpha=alpha), share)
        for gamma, alpha in COLUMNS
    ]
    assert got == pytest.approx(HARD[share], abs=5.1e-4)


def test_a_target_in_the_middle_is_not_focused_by_the_linear_form() -> None:
    """p_t of t = 0.5 is 0.5 whatever p is: the factor is a constant."""
    loss, plain = build("focal", gamma=2.0, alpha=None, form="linear"), build("bce")
    logits, targets = torch.linspace(-5, 5, 21).double(), torch.full((21,), 0.5).double()
    torch.testing.assert_close(loss(logits, targets), plain(logits, targets) / 4)
