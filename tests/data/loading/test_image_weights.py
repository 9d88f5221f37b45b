"""Samplers for imbalance: each image as often as its weight says, whatever the epoch."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.train import ClassBalancedSampler, RepeatFactorSampler, UniformSampler
from data.loading.image_weights import (
    Presence,
    balanced_weights,
    build_draw,
    draw_uniformly,
    draw_weighted,
    repeat_factors,
)
from tests.utils.metrics.problems import record

BOX = (0.0, 0.0, 9.0, 9.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_every_image_comes_as_often_as_its_weight_says(weights: list[float], seed: int) -> None:
    wanted = np.array(weights) / sum(weights) * len(weights)
    drawn = draw_weighted(len(weights), rng(seed), weights=np.array(weights))
    counts = Counter(index for index, _ in drawn)
    assert len(drawn) == len(weights)
    assert len(set(drawn)) == len(drawn)
    for index, expected in enumerate(wanted):
        assert expected - 1 - 1e-6 < counts[index] < expected + 1 + 1e-6
        assert {copy for i, copy in drawn if i == index} == set(range(counts[index]))


@pytest.mark.slow
def test_over_many_epochs_the_mean_is_the_weight() -> None:
    weights = np.array([1.0, 2.0, 0.3, 5.0])
    counts = Counter(
        index for seed in range(4000) for index, _ in draw_weighted(4, rng(seed), weights=weights)
    )
    means = [counts[index] / 4000 for index in range(4)]
    np.testing.assert_allclose(means, weights / weights.sum() * 4, atol=0.03)


def test_uniform_is_a_permutation() -> None:
    drawn = draw_uniformly(9, rng())
    assert sorted(drawn) == [(index, 0) for index in range(9)]
    assert drawn != sorted(drawn)


def pairs(table: list[list[int]]) -> Presence:
    image, label = np.array(table, np.int64).reshape(len(table), -1).nonzero()
    return Presence(image=image, label=label, num_images=len(table))


def slow_repeat_factors(presence: list[list[int]], threshold: float) -> list[float]:
    factors = []
    for row in presence:
        best = 1.0
        for column, present in enumerate(row):
            share = sum(other[column] for other in presence) / len(presence)
            if present:
                best = max(best, (threshold / share) ** 0.5)
        factors.append(best)
    return factors


@given(
    st.integers(0, 3).flatmap(
        lambda classes: st.lists(
            st.lists(st.integers(0, 1), min_size=classes, max_size=classes), min_size=1, max_size=8
        )
    ),
    st.sampled_from([0.05, 0.3, 1.0]),
)
def test_repeat_factors_are_those_of_the_paper(presence: list[list[int]], threshold: float) -> None:
    found = repeat_factors(pairs(presence), threshold)
    np.testing.assert_allclose(found, slow_repeat_factors(presence, threshold))


def test_balanced_weights_make_classes_equally_likely() -> None:
    # Class 0 on six images, class 1 on one that shows both, class 2 nowhere, one image empty.
    presence = [[1, 0, 0]] * 6 + [[1, 1, 0]] + [[0, 0, 0]]
    weights = balanced_weights(pairs(presence))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[-1] == pytest.approx(1 / 8)
    # Drawn for class 1 is only the image that shows it; for class 0 any of seven.
    assert weights[6] == pytest.approx(7 / 8 * (1 / 2 + 1 / 2 / 7))
    np.testing.assert_array_equal(balanced_weights(pairs([[0, 0]] * 3)), np.ones(3))


def test_rare_classes_come_oftener_and_ignored_boxes_do_not_count() -> None:
    common = [record(i, [BOX], [0]) for i in range(30)]
    rare = [record(30, [BOX], [1]), record(31, [BOX], [1], ignore=[True])]
    for sampler in (RepeatFactorSampler(name="repeat_factor", threshold=0.5),
                    ClassBalancedSampler(name="class_balanced")):  # fmt: skip
        draw = build_draw(sampler, [*common, *rare])
        counts = Counter(index for seed in range(200) for index, _ in draw(32, rng(seed)))
        assert counts[30] > 2 * 200
        assert counts[31] < 1.3 * 200
    assert build_draw(UniformSampler(), common) is draw_uniformly


@pytest.mark.parametrize("name", ["repeat_factor", "class_balanced"])
def test_memory_of_a_sampler_does_not_grow_with_classes(name: str) -> None:
    images, classes = 200, 1000
    records = [record(i, [BOX], [label]) for i, label in enumerate(range(classes))][-images:]
    sampler = (
        RepeatFactorSampler(name="repeat_factor")
        if name == "repeat_factor"
        else ClassBalancedSampler(name="class_balanced")
    )
    tracemalloc.start()
    try:
        build_draw(sampler, records)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < images * classes  # a table with one byte a pair would be larger
