"""Random weights of images and seeds; the same draws serve every arm, which is what pairs them.

N images, R seeds, B replicates.
"""

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
