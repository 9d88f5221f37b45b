"""Hierarchical paired bootstrap: variation of a difference over seeds and test images.

N images, R seeds, B replicates.

Seeds and images are crossed: every seed is evaluated on the same images. Drawing both with
replacement counts the noise that belongs to neither (one seed on one image) three times (Owen
2007), and six seeds drawn from themselves vary by a sixth too little. Here images are drawn for all
seeds together, seeds are drawn with replacement, and the seed part is rescaled so that the variance
of the replicates is the unbiased one of two crossed random factors. R seeds, N images, B
replicates.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from utils.metrics.rows import Floats

ImageWeights = Literal["counts", "dirichlet"]


def image_weights(num_images: int, replicates: int, *, kind: ImageWeights, seed: int) -> Floats:
    """Return (N, B) weights whose columns sum to N.

    Args:
        num_images: images of the split, at least 1.
        replicates: columns.
        kind: counts draws images with replacement; dirichlet gives each image a positive weight
            (Rubin's Bayesian bootstrap), so that no class is ever absent.
        seed: of the draws.
    """
    generator = np.random.default_rng((seed, 1))
    if kind == "counts":
        shares = np.full(num_images, 1.0 / num_images)
        drawn = generator.multinomial(num_images, shares, size=replicates)
        return np.ascontiguousarray(drawn.T, np.float64)
    weights = generator.exponential(size=(num_images, replicates))
    return np.asarray(weights * (num_images / weights.sum(axis=0)))


def seed_shares(num_seeds: int, replicates: int, *, seed: int) -> Floats:
    """Return (R, B) how often each seed is drawn, with replacement, as a share of the draw."""
    generator = np.random.default_rng((seed, 2))
    drawn = generator.multinomial(num_seeds, np.full(num_seeds, 1.0 / num_seeds), size=replicates)
    return np.asarray(drawn.T / num_seeds)


def all_but_one(num_images: int, groups: int | None = None) -> Floats:
    """Return the (N, G) weights of the jackknife: column i leaves out group i of images.

    Args:
        num_images: N.
        groups: G, at most N; None makes every image a group.
    """
    group = np.arange(num_images) % (groups or num_images)
    return np.asarray(group[:, None] != np.arange(group.max() + 1), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicates:
    """A difference and how it varies."""

    estimate: float
    """Mean difference over the seeds, all images."""
    values: Floats
    """(B,) the same in each replicate."""
    seed_variance: float
    """Of `estimate`, from the choice of seeds alone."""
    image_variance: float
    """Of `estimate`, from the choice of images, the noise of single runs on them included."""
    run_noise: float
    """The part of `image_variance` that more seeds would average out."""
    degrees: float
    """Degrees of freedom of the variance estimate (Satterthwaite)."""
    acceleration: float
    """How the variance grows with the value: BCa's skewness term."""

    @property
    def standard_error(self) -> float:
        """Of `estimate`, over seeds and images."""
        return math.sqrt(self.seed_variance + self.image_variance)


def hierarchical_replicates(
    deltas: Floats, by_images: Floats, shares: Floats, jackknife: Floats | None = None
) -> Replicates:
    """Combine what image weights and seed draws do to a difference.

    Args:
        deltas: (R,) difference of each seed on all images.
        by_images: (R, B) difference of each seed under each column of image weights.
        shares: (R, B) share of each seed in each draw of seeds.
        jackknife: (R, N) difference of each seed without one image; None: no acceleration.
    """
    num_seeds = len(deltas)
    estimate = float(deltas.mean())
    image_part = by_images.mean(axis=0) - estimate
    image_variance = float(image_part.var())
    spread, run_noise, seed_variance = 0.0, 0.0, 0.0
    if num_seeds > 1:
        spread = float(deltas.var(ddof=1)) / num_seeds
        single = float(by_images.var(axis=1).mean())
        run_noise = max(0.0, (single - image_variance) / (num_seeds - 1))
        seed_variance = max(0.0, spread - run_noise)
    # Draws of R from R vary by (R - 1) / R of what the seeds vary.
    scale = math.sqrt(seed_variance / spread * num_seeds / (num_seeds - 1)) if spread else 0.0
    seed_part = scale * (deltas @ shares - estimate)
    return Replicates(
        estimate=estimate,
        values=estimate + image_part + seed_part,
        seed_variance=seed_variance,
        image_variance=image_variance,
        run_noise=min(run_noise, image_variance),
        degrees=_degrees(seed_variance, image_variance, spread, num_seeds),
        acceleration=_acceleration(deltas * min(scale, 1.0), jackknife),
    )


def _degrees(seed_variance: float, image_variance: float, spread: float, num_seeds: int) -> float:
    """Satterthwaite's degrees of freedom; images are many, so only seeds are short of them."""
    if not spread:
        return math.inf
    total = seed_variance + image_variance
    return max(1.0, total**2 / spread**2 * (num_seeds - 1))


def _acceleration(seed_effects: Floats, jackknife: Floats | None) -> float:
    """Skewness of the influences of both kinds of units (Efron and Tibshirani 1993, ch. 14)."""
    if jackknife is None:
        return 0.0
    without = jackknife.mean(axis=0)
    num_images = len(without)
    image = (without.mean() - without) * (num_images - 1) / num_images
    seeds = (seed_effects - seed_effects.mean()) / len(seed_effects)
    cubes = float((image**3).sum() + (seeds**3).sum())
    squares = float((image**2).sum() + (seeds**2).sum())
    return cubes / (6.0 * squares**1.5) if squares > 0 else 0.0
