"""Tests over seeds against enumeration by hand, and corrections against their definitions."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.comparison.statistics.significance import (
    benjamini_hochberg,
    holm,
    max_statistic_p,
    sign_flip_p,
    smallest_p,
)

DELTAS = st.lists(st.floats(-5, 5).map(lambda v: round(v, 3)), min_size=1, max_size=7)
P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def slow_sign_flip(deltas: list[float]) -> float:
    reached = 0
    for signs in product((1, -1), repeat=len(deltas)):
        flipped = abs(sum(s * d for s, d in zip(signs, deltas, strict=True)))
        reached += flipped >= abs(sum(deltas)) - 1e-9
    return reached / 2 ** len(deltas)


@given(DELTAS)
def test_sign_flips_equal_enumeration(deltas: list[float]) -> None:
    assert sign_flip_p(deltas) == slow_sign_flip(deltas)


@given(DELTAS)
def test_sign_flips_do_not_care_for_direction_or_unit(deltas: list[float]) -> None:
    assert sign_flip_p([-d for d in deltas]) == sign_flip_p(deltas)
    assert sign_flip_p([d * 4 for d in deltas]) == sign_flip_p(deltas)


@pytest.mark.parametrize(
    ("seeds", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125), (8, 2 / 256)]
)
def test_smallest_p_is_reached_by_seeds_that_agree(seeds: int, smallest: float) -> None:
    assert sign_flip_p([1.0 + k for k in range(seeds)]) == smallest
    assert smallest_p(seeds, num_arms=1, correction="holm") == smallest
    assert smallest_p(seeds, num_arms=3, correction="holm") == min(1.0, 3 * smallest)
    assert smallest_p(seeds, num_arms=3, correction="max") == smallest


def test_many_seeds_are_sampled_and_agree_with_the_normal_distribution() -> None:
    deltas = np.random.default_rng(0).normal(0.4, 1.0, 25)
    z = deltas.mean() / math.sqrt((deltas**2).sum()) * 25
    assert sign_flip_p(deltas) == pytest.approx(math.erfc(abs(z) / math.sqrt(2)), rel=0.15)


@given(DELTAS)
def test_maximum_of_one_arm_or_of_copies_is_the_plain_test(deltas: list[float]) -> None:
    both = max_statistic_p({"a": deltas, "b": deltas})
    assert both["a"] == both["b"] == sign_flip_p(deltas)


def test_maximum_corrects_upwards_and_most_where_the_difference_is_least() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        arms = {str(k): rng.normal(0.5, 1, 7) for k in range(4)}
        corrected = max_statistic_p(arms)
        by_size = sorted(arms, key=lambda name: -abs(arms[name].mean()))
        assert [corrected[n] for n in by_size] == sorted(corrected[n] for n in by_size)
        assert all(sign_flip_p(arms[name]) <= corrected[name] for name in arms)
        alone = {name: arms[name] for name in by_size[-1:]}
        assert corrected[by_size[-1]] >= max_statistic_p(alone)[by_size[-1]]


def test_maximum_keeps_any_false_discovery_rare() -> None:
    """Five arms without effect that share a baseline, 400 times."""
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(400):
        baseline = rng.normal(size=6)
        arms = {str(k): rng.normal(size=6) - baseline for k in range(5)}
        false += min(max_statistic_p(arms).values()) < 0.05
    assert false <= 0.05 * 400


def test_maximum_finds_with_six_seeds_what_holm_cannot() -> None:
    rng = np.random.default_rng(4)
    arms = {"best": 3.0 + rng.normal(size=6), **{str(k): rng.normal(size=6) for k in range(4)}}
    assert max_statistic_p(arms)["best"] == 2 / 64
    assert holm({name: sign_flip_p(d) for name, d in arms.items()})["best"] == 5 * 2 / 64


def slow_holm(p_values: list[float]) -> list[float]:
    corrected = []
    for p in p_values:
        smaller = [q for q in p_values if q <= p]
        candidates = []
        for q in smaller:
            rank = sum(r < q for r in p_values)
            candidates.append(min(1.0, (len(p_values) - rank) * q))
        corrected.append(max(candidates))
    return corrected


@given(P_VALUES)
def test_holm_equals_its_definition(p_values: list[float]) -> None:
    named = {str(k): p for k, p in enumerate(p_values)}
    np.testing.assert_allclose(list(holm(named).values()), slow_holm(p_values))


def test_holm_by_pencil() -> None:
    assert holm({"a": 0.04, "b": 0.01, "c": 0.03}) == pytest.approx(
        {"a": 0.06, "b": 0.03, "c": 0.06}
    )


@settings(max_examples=50)
@given(P_VALUES, st.floats(0.01, 0.5))
def test_benjamini_hochberg_equals_its_definition(p_values: list[float], rate: float) -> None:
    falling = sorted(p_values, reverse=True)
    cut = -1.0
    for position, p in enumerate(falling):
        if p <= rate * (len(falling) - position) / len(falling):
            cut = p
            break
    assert benjamini_hochberg(p_values, rate=rate).tolist() == [p <= cut for p in p_values]


def test_no_classes_no_discoveries() -> None:
    assert benjamini_hochberg([], rate=0.05).tolist() == []
