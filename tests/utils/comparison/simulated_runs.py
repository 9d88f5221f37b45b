"""Runs that never happened: detections drawn from a known law, so that the truth is known.

An image has a difficulty that all runs share, a run has a skill of its own (its seed), and each
object is found or not, well or badly, by chance: the three sources of noise of a real comparison.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from utils.comparison.statistics.bootstrap import (
    Replicates,
    all_but_one,
    hierarchical_replicates,
    image_weights,
    seed_shares,
)
from utils.comparison.statistics.match_table import ClassTable, MatchTable
from utils.comparison.statistics.weighted_ap import mean_over_classes, weighted_class_ap


@dataclass(frozen=True, kw_only=True)
class Law:
    """What the runs are drawn from; skills are on the scale of a logit."""

    images: int = 50
    objects: float = 3.0
    classes: int = 2
    false_alarms: float = 4.0
    skill: float = 0.6
    seed_spread: float = 0.3
    image_spread: float = 0.8


@dataclass(frozen=True)
class Scene:
    """Objects (image, class) and how hard each image is."""

    image: np.ndarray
    label: np.ndarray
    difficulty: np.ndarray


def draw_scene(rng: np.random.Generator, law: Law, images: int | None = None) -> Scene:
    count = images or law.images
    counts = rng.poisson(law.objects, count)
    image = np.repeat(np.arange(count), counts)
    return Scene(
        image=image,
        label=rng.integers(0, law.classes, len(image)),
        difficulty=rng.normal(0, law.image_spread, count),
    )


def draw_run(rng: np.random.Generator, law: Law, scene: Scene, effect: float = 0.0) -> MatchTable:
    """Return what a run with a random seed finds in the scene; `effect` adds to its skill."""
    skill = law.skill + effect + rng.normal(0, law.seed_spread)
    chance = 1 / (1 + np.exp(-(skill - scene.difficulty[scene.image])))
    found = rng.random(len(scene.image)) < chance
    overlap = np.clip(0.5 + 0.5 * rng.beta(2, 2, len(scene.image)), 0, 0.999)
    images = len(scene.difficulty)
    false_image = np.repeat(np.arange(images), rng.poisson(law.false_alarms, images))
    false_label = rng.integers(0, law.classes, len(false_image))
    false_score = rng.beta(2, 5, len(false_image))
    tables = []
    for label in range(law.classes):
        mine = found & (scene.label == label)
        wrong = false_label == label
        image = np.concatenate([scene.image[mine], false_image[wrong]])
        scores = np.concatenate([rng.beta(4, 3, int(mine.sum())), false_score[wrong]])
        quality = np.concatenate([overlap[mine], np.zeros(int(wrong.sum()))])
        order = np.argsort(-scores)
        hit = quality[order] >= np.linspace(0.5, 0.95, 10)[:, None]
        tables.append(
            ClassTable(
                image=image[order],
                scores=scores[order],
                hit=hit,
                neutral=np.zeros_like(hit),
                truths=np.bincount(scene.image[scene.label == label], minlength=images),
            )
        )
    return MatchTable(num_images=images, classes=tuple(tables))


def map_of(table: MatchTable, weights: np.ndarray) -> np.ndarray:
    """Return (B,) mAP50-95 in points."""
    return 100 * mean_over_classes(weighted_class_ap(table, weights))[:, 0]


@lru_cache
def true_difference(law: Law, effect: float) -> float:
    """Return the difference in mAP over many seeds and images, in points."""
    rng = np.random.default_rng(12345)
    scene = draw_scene(rng, law, images=1500)
    ones = np.ones((1500, 1))
    runs = [
        [map_of(draw_run(rng, law, scene, one), ones)[0] for _ in range(60)]
        for one in (0.0, effect)
    ]
    return float(np.mean(runs[1]) - np.mean(runs[0]))


def compare(
    rng: np.random.Generator, law: Law, *, seeds: int, effect: float, replicates: int = 300
) -> tuple[np.ndarray, Replicates]:
    """Return (R,) differences and the replicates of one simulated comparison."""
    scene = draw_scene(rng, law)
    shape = {"kind": "dirichlet", "seed": int(rng.integers(1 << 30))}
    drawn = image_weights(law.images, replicates, **shape)
    weights = np.concatenate([np.ones((law.images, 1)), drawn, all_but_one(law.images)], axis=1)
    deltas = np.array(
        [
            map_of(draw_run(rng, law, scene, effect), weights)
            - map_of(draw_run(rng, law, scene), weights)
            for _ in range(seeds)
        ]
    )
    shares = seed_shares(seeds, replicates, seed=shape["seed"])
    result = hierarchical_replicates(
        deltas[:, 0], deltas[:, 1 : replicates + 1], shares, deltas[:, replicates + 1 :]
    )
    return deltas[:, 0], result


def binomial_bounds(share: float, count: int) -> tuple[float, float]:
    """Return where an observed share lies but for one time in a hundred."""
    log_chances = [
        math.lgamma(count + 1) - math.lgamma(hits + 1) - math.lgamma(count - hits + 1)
        + hits * math.log(share) + (count - hits) * math.log(1 - share)
        for hits in range(count + 1)
    ]  # fmt: skip
    lowest, highest = np.searchsorted(np.cumsum(np.exp(log_chances)), (0.005, 0.995))
    return float(lowest / count), float(highest / count)


def coverage(intervals: Sequence[object], truth: float) -> float:
    return float(np.mean([one.low <= truth <= one.high for one in intervals]))  # type: ignore[attr-defined]
