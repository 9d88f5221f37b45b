"""Student's t, resampling, replicates and intervals against tables, oracles and simulation."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from tests.utils.comparison.simulated_runs import (
    Law,
    binomial_bounds,
    compare,
    coverage,
    true_difference,
)
from utils.comparison.statistics.bootstrap import (
    Replicates,
    all_but_one,
    hierarchical_replicates,
    image_weights,
    seed_shares,
)
from utils.comparison.statistics.intervals import (
    Interval,
    bca_interval,
    bootstrap_p,
    normal_equivalent,
    percentile_interval,
    t_probability,
    t_quantile,
)


@pytest.mark.parametrize(
    ("probability", "degrees", "published"),
    [
        (0.975, 1, 12.706),
        (0.975, 5, 2.571),
        (0.95, 9, 1.833),
        (0.995, 30, 2.750),
        (0.025, 5, -2.571),
        (0.975, 1e9, 1.960),
        (0.5, 4, 0.0),
    ],
)
def test_quantiles_of_the_printed_table(
    probability: float, degrees: float, published: float
) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(published, abs=6e-4)


@pytest.mark.parametrize("degrees", [1.0, 2.5, 5.0, 80.0, 1e6])
@pytest.mark.parametrize("probability", [0.001, 0.2, 0.5, 0.9, 0.9995])
def test_probability_inverts_the_quantile(probability: float, degrees: float) -> None:
    value = t_quantile(probability, degrees)
    assert t_probability(value, degrees) == pytest.approx(probability, abs=1e-6)


def test_few_degrees_widen_the_level() -> None:
    assert normal_equivalent(0.025, 5) < normal_equivalent(0.025, 50) < 0.025
    with pytest.raises(ValueError, match="degrees >= 1"):
        t_quantile(0.9, 0.5)


@pytest.mark.parametrize("kind", ["counts", "dirichlet"])
def test_image_weights_are_those_of_a_bootstrap(kind: str) -> None:
    weights = image_weights(40, 4000, kind=kind, seed=3)  # type: ignore[arg-type]
    np.testing.assert_allclose(weights.sum(axis=0), 40)
    assert weights.var() == pytest.approx(1.0, abs=0.05)
    again = image_weights(40, 4000, kind=kind, seed=3)  # type: ignore[arg-type]
    np.testing.assert_array_equal(weights, again)
    assert (weights == np.rint(weights)).all() == (kind == "counts")
    assert (weights > 0).all() == (kind == "dirichlet")


def test_seed_shares_and_jackknife() -> None:
    shares = seed_shares(5, 3000, seed=0)
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    np.testing.assert_allclose(shares.mean(axis=1), 0.2, atol=0.02)
    assert all_but_one(3).tolist() == [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def crossed(
    rng: np.random.Generator, seeds: int, images: int, spreads: tuple[float, float, float]
) -> np.ndarray:
    """Return a table (R, N) of seed effect + image effect + noise; its mean is the estimate."""
    seed, image = rng.normal(0, spreads[0], seeds), rng.normal(0, spreads[1], images)
    return seed[:, None] + image + rng.normal(0, spreads[2], (seeds, images))


def replicates_of(table: np.ndarray, count: int = 4000, seed: int = 0) -> Replicates:
    seeds, images = table.shape
    weights = image_weights(images, count, kind="dirichlet", seed=seed)
    return hierarchical_replicates(
        table.mean(axis=1),
        table @ weights / images,
        seed_shares(seeds, count, seed=seed),
        table @ all_but_one(images) / (images - 1),
    )


@pytest.mark.parametrize("spreads", [(1.0, 1.0, 1.0), (0.0, 0.0, 3.0), (1.0, 0.0, 0.0)])
def test_variance_is_that_of_two_crossed_factors(spreads: tuple[float, float, float]) -> None:
    """E(estimate^2) of a linear statistic is known: nothing is counted twice."""
    rng = np.random.default_rng(4)
    seeds, images = 5, 40
    found = [replicates_of(crossed(rng, seeds, images, spreads), 400, k) for k in range(150)]
    true = spreads[0] ** 2 / seeds + spreads[1] ** 2 / images + spreads[2] ** 2 / seeds / images
    mean = np.mean([r.standard_error**2 for r in found])
    assert mean == pytest.approx(true, rel=0.35)
    drawn = np.mean([r.values.var() for r in found])
    assert drawn == pytest.approx(mean, rel=0.1)


def test_one_seed_leaves_the_noise_of_images() -> None:
    table = np.random.default_rng(0).normal(size=(1, 50))
    result = replicates_of(table)
    assert result.seed_variance == 0.0
    assert result.degrees == math.inf
    assert result.standard_error == pytest.approx(table.std() / math.sqrt(50), rel=0.05)


def test_nothing_differs_at_all() -> None:
    result = replicates_of(np.zeros((4, 10)))
    assert percentile_interval(result, 0.95) == bca_interval(result, 0.95) == Interval(0.0, 0.0)
    assert not Interval(0.0, 0.0).excludes(0.0)
    assert bootstrap_p(result) == 1.0


def normal_replicates(**changes: float) -> Replicates:
    values = {
        "estimate": 1.0,
        "seed_variance": 0.5,
        "image_variance": 0.5,
        "run_noise": 0.0,
        "degrees": math.inf,
        "acceleration": 0.0,
        **changes,
    }
    drawn = np.random.default_rng(0).normal(1.0, 1.0, 40_000)
    return Replicates(values=drawn, **values)


def test_both_intervals_agree_on_a_normal_distribution() -> None:
    result = normal_replicates()
    for interval in (percentile_interval(result, 0.95), bca_interval(result, 0.95)):
        assert (interval.low, interval.high) == pytest.approx((1 - 1.96, 1 + 1.96), abs=0.06)
    few = percentile_interval(normal_replicates(degrees=5.0), 0.95)
    assert (few.low, few.high) == pytest.approx((1 - 2.571, 1 + 2.571), abs=0.12)


def test_bca_moves_with_bias_and_skewness() -> None:
    plain = bca_interval(normal_replicates(), 0.95)
    skewed = bca_interval(normal_replicates(acceleration=0.1), 0.95)
    assert skewed.low > plain.low
    assert skewed.high > plain.high
    biased = bca_interval(normal_replicates(estimate=1.3), 0.95)
    assert biased.low > plain.low
    assert biased.high > plain.high


def test_bca_without_skewness_moves_by_twice_the_median_bias() -> None:
    result = normal_replicates(estimate=1.3)
    normal = NormalDist()
    bias = normal.inv_cdf(float((result.values < 1.3).mean()))
    shares = [normal.cdf(2 * bias + side * normal.inv_cdf(0.975)) for side in (-1, 1)]
    interval = bca_interval(result, 0.95)
    expected = np.quantile(result.values, shares)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=1e-3)


def test_bca_covers_the_mean_of_skewed_data_better() -> None:
    """Exponential data: the percentile interval misses on one side far more often."""
    rng = np.random.default_rng(5)
    too_low = {"percentile": 0, "bca": 0}
    for number in range(300):
        table = rng.exponential(size=(1, 30))
        result = replicates_of(table, 500, number)
        too_low["percentile"] += percentile_interval(result, 0.9).high < 1.0
        too_low["bca"] += bca_interval(result, 0.9).high < 1.0
    assert too_low["bca"] < too_low["percentile"]


def test_p_value_of_replicates() -> None:
    assert bootstrap_p(normal_replicates()) == pytest.approx(0.317, abs=0.02)
    assert bootstrap_p(normal_replicates(degrees=5.0)) == pytest.approx(0.363, abs=0.02)


@pytest.mark.slow
def test_intervals_cover_a_known_difference_of_map() -> None:
    """500 simulated comparisons of six seeds; the truth lies in 93 to 97 % of the intervals."""
    law, effect = Law(images=40, classes=1, seed_spread=0.2), 0.5
    truth = true_difference(law, effect)
    rng = np.random.default_rng(11)
    found = [compare(rng, law, seeds=6, effect=effect, replicates=200)[1] for _ in range(500)]
    for interval in (percentile_interval, bca_interval):
        assert 0.93 <= coverage([interval(one, 0.95) for one in found], truth) <= 0.97


@pytest.mark.slow
def test_six_seeds_that_differ_more_than_images_cover_almost_what_they_say() -> None:
    """94 %: Student's t asks for the last half percent of the replicates."""
    rng, replicates = np.random.default_rng(6), 2000
    found = []
    for number in range(2000):
        deltas = rng.normal(size=6)
        by_images = deltas[:, None] + rng.normal(0, 0.05, replicates)
        shares = seed_shares(6, replicates, seed=number)
        jackknife = deltas[:, None] * np.ones((6, 50))
        found.append(hierarchical_replicates(deltas, by_images, shares, jackknife))
    lowest, highest = binomial_bounds(0.94, len(found))
    for interval in (percentile_interval, bca_interval):
        assert lowest <= coverage([interval(one, 0.95) for one in found], 0.0) <= highest
