"""Anchors fitted to the boxes of a data set: k-means, then refinement by mutation.

The result is a pure function of the boxes, the given anchors and the seed. `cache.py` remembers it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.anchors import cache
from data.anchors.matching import SizeArray, anchor_fitness, best_possible_recall
from data.anchors.statistics import trained_sizes_wh
from utils.structures.images import Record

AnchorArray = npt.NDArray[np.float64]

MIN_SIDE_PX = 2.0
KMEANS_ROUNDS = 30
GENERATIONS = 1000
MUTATION_PROB = 0.9
MUTATION_SIGMA = 0.1
MUTATION_LIMITS = (0.3, 3.0)
DECIMALS = 2
EQUAL_RECALL = 1e-9

MAX_FITTED_BOXES = 20_000
"""A larger data set is fitted on a keyed sample of this many boxes, in seconds instead of minutes;
the sample gives the candidates, all boxes decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorQuality:
    """best_possible_recall and fitness of anchors on the boxes of a data set, each 0 to 1."""

    best_possible_recall: float
    fitness: float

    def is_better_than(self, other: "AnchorQuality") -> bool:
        """Return whether more boxes match an anchor or, with as many, the fitness is higher."""
        gain = self.best_possible_recall - other.best_possible_recall
        return gain > EQUAL_RECALL or (gain >= -EQUAL_RECALL and self.fitness > other.fitness)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorFit:
    """The anchors to train with, and why.

    anchors (L, A, 2) float64, width and height in network pixels, levels fine to coarse, two
    decimals where fitted; is_fitted: False where the given ones were kept (after equals before);
    num_left_out: boxes with a side below MIN_SIDE_PX at network scale, which are not used.
    """

    anchors: AnchorArray
    is_fitted: bool
    before: AnchorQuality
    after: AnchorQuality
    num_boxes: int
    num_left_out: int

    @property
    def per_level(self) -> tuple[tuple[float, ...], ...]:
        """The anchors in the form of `model.anchors`: w, h, w, h, ... for each level."""
        return tuple(tuple(level.ravel().tolist()) for level in self.anchors)

    @property
    def text(self) -> str:
        """One line to print: recall and fitness before and after, and the anchors."""
        left_out = (
            f", {self.num_left_out} with a side below {MIN_SIDE_PX:g} px left out"
            if self.num_left_out
            else ""
        )
        if not self.num_boxes:
            return f"anchors kept as given: no boxes to fit them to{left_out}"
        if not self.is_fitted:
            return (
                f"anchors kept as given: none fitted to {self.num_boxes} boxes{left_out} "
                f"are better than best possible recall {self.before.best_possible_recall:.4f}, "
                f"fitness {self.before.fitness:.4f}"
            )
        return (
            f"anchors fitted to {self.num_boxes} boxes{left_out}: best possible recall "
            f"{self.before.best_possible_recall:.4f} -> {self.after.best_possible_recall:.4f}, "
            f"fitness {self.before.fitness:.4f} -> {self.after.fitness:.4f}; "
            f"{' | '.join(', '.join(f'{w:g}x{h:g}' for w, h in level) for level in self.anchors)}"
        )


def fit_anchors(
    records: Sequence[Record],
    *,
    anchors: SizeArray,
    image_size: int,
    max_ratio: float,
    seed: int,
) -> AnchorFit:
    """Fit as many anchors as given to the boxes; keep the given ones unless the fitted are better.

    Args:
        records: training images; ignored boxes do not count.
        anchors: (L, A, 2) the given ones, pixels at `image_size`, levels fine to coarse.
        image_size: side of the square network input, pixels.
        max_ratio: greater than 1; the assigner's limit on the ratio of sides.
        seed: non-negative; another seed may find slightly other anchors.

    Returns:
        Fitted anchors in order of area, split over the levels, or the given ones as they are.
    """
    given = np.array(anchors, np.float64)
    sizes_wh = trained_sizes_wh(records, image_size)
    usable = sizes_wh[(sizes_wh >= MIN_SIDE_PX).all(axis=1)]
    best, before = given, _quality(usable, given, max_ratio)
    after = before
    if len(usable):
        fitted = _fitted(usable, given, max_ratio, seed)
        quality = _quality(usable, fitted, max_ratio)
        if quality.is_better_than(before):
            best, after = fitted, quality
    return AnchorFit(
        anchors=best,
        is_fitted=best is not given,
        before=before,
        after=after,
        num_boxes=len(usable),
        num_left_out=len(sizes_wh) - len(usable),
    )


def _quality(sizes_wh: SizeArray, anchors: SizeArray, max_ratio: float) -> AnchorQuality:
    return AnchorQuality(
        best_possible_recall=best_possible_recall(sizes_wh, anchors, max_ratio),
        fitness=anchor_fitness(sizes_wh, anchors, max_ratio),
    )


def _fitted(sizes_wh: AnchorArray, given: AnchorArray, max_ratio: float, seed: int) -> AnchorArray:
    """Return fitted anchors shaped as `given`, by area, rounded; from the cache if it has them."""
    key = cache.key_of(sizes_wh, given, max_ratio=max_ratio, seed=seed)
    remembered = cache.read(key, given.shape)
    if remembered is not None:
        return remembered
    rng = np.random.default_rng(seed)
    if len(sizes_wh) > MAX_FITTED_BOXES:
        chosen = rng.choice(len(sizes_wh), MAX_FITTED_BOXES, replace=False)
        sizes_wh = sizes_wh[np.sort(chosen)]
    flat = refined(rng, sizes_wh, kmeans(rng, sizes_wh, given.size // 2), max_ratio)
    flat = np.maximum(flat.round(DECIMALS), MIN_SIDE_PX)
    fitted = flat[np.lexsort((flat[:, 0], flat.prod(axis=1)))].reshape(given.shape)
    cache.write(key, fitted)
    return fitted


def kmeans(rng: np.random.Generator, sizes_wh: AnchorArray, num_centers: int) -> AnchorArray:
    """Return `num_centers` typical sizes (K, 2) of boxes (N, 2), N at least 1.

    Sides are measured in standard deviations. Where there are fewer different sizes than centres,
    sizes repeat.
    """
    spread = sizes_wh.std(axis=0)
    spread[spread == 0] = 1.0
    points = sizes_wh / spread
    centers = _spread_out(rng, points, num_centers)
    for _ in range(KMEANS_ROUNDS):
        squared_distances = ((points[:, None] - centers) ** 2).sum(axis=2)
        nearest = squared_distances.argmin(axis=1)
        counts = np.bincount(nearest, minlength=num_centers)
        sums = np.stack(
            [np.bincount(nearest, weights=side, minlength=num_centers) for side in points.T], axis=1
        )
        # A centre without points is kept: it may get some again.
        means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centers)
        if np.array_equal(means, centers):
            break
        centers = means
    return np.asarray(centers * spread)


def _spread_out(rng: np.random.Generator, points: AnchorArray, num_centers: int) -> AnchorArray:
    """Return initial centres by k-means++: the farther from those before, the likelier."""
    centers = [points[rng.integers(len(points))]]
    nearest = np.full(len(points), np.inf)
    while len(centers) < num_centers:
        nearest = np.minimum(nearest, ((points - centers[-1]) ** 2).sum(axis=1))
        total = nearest.sum()
        probs = nearest / total if total > 0 else None
        centers.append(points[rng.choice(len(points), p=probs)])
    return np.stack(centers)


def refined(
    rng: np.random.Generator, sizes_wh: AnchorArray, anchors: AnchorArray, max_ratio: float
) -> AnchorArray:
    """Return anchors (K, 2) after GENERATIONS random changes, each kept if fitness rises."""
    best, best_fitness = anchors, anchor_fitness(sizes_wh, anchors, max_ratio)
    for _ in range(GENERATIONS):
        is_changed = rng.random(best.shape) < MUTATION_PROB
        factors = 1 + is_changed * rng.normal(0, MUTATION_SIGMA, best.shape)
        child = np.maximum(best * factors.clip(*MUTATION_LIMITS), MIN_SIDE_PX)
        fitness = anchor_fitness(sizes_wh, child, max_ratio)
        if fitness > best_fitness:
            best, best_fitness = child, fitness
    return best
