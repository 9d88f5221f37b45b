"""How long a hierarchical bootstrap takes: weights over stored matches against pycocotools.

python -m benchmarks.bootstrap [--images 500] [--classes 80] [--seeds 6] [--replicates 2000]
"""

import argparse
import sys
from time import process_time

import numpy as np

from utils.comparison.statistics.match_table import match_table
from utils.comparison.statistics.replication import draw_weights, paired_replicates, replicate_run
from utils.metrics.coco_ap import JUDGES
from utils.metrics.rows import DetectionRows, TruthRows

OBJECTS, FALSE_ALARMS, FOUND = 7.3, 290.0, 0.8


def main() -> None:
    """Measure both ways, in seconds of one core, on detections drawn by chance."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=int, default=500)
    options.add_argument("--classes", type=int, default=80)
    options.add_argument("--seeds", type=int, default=6)
    options.add_argument("--replicates", type=int, default=2000)
    chosen = options.parse_args()
    rng = np.random.default_rng(0)
    truths = draw_truths(rng, chosen.images, chosen.classes)
    runs = [draw_detections(rng, truths) for _ in range(2 * chosen.seeds)]
    began = process_time()
    tables = [match_table(truths, found) for found in runs]
    matched = process_time()
    weights = draw_weights(tables[0], chosen.replicates, "dirichlet")
    points = [replicate_run(table, weights).mean[:, 0] for table in tables]
    half = chosen.seeds
    deltas = np.array([a - b for a, b in zip(points[half:], points[:half], strict=True)])
    result = paired_replicates(deltas, weights)
    ended = process_time()
    JUDGES["pycocotools"](truths, runs[0])
    once = process_time() - ended
    sys.stdout.write(
        f"{len(runs)} runs, {len(truths.labels)} objects, {len(runs[0])} detections a run\n"
        f"matching {matched - began:.1f} s, {chosen.replicates} replicates and the jackknife "
        f"{ended - matched:.1f} s (standard error {result.standard_error:.3f})\n"
        f"pycocotools takes {once:.1f} s a run and replicate: "
        f"{once * len(runs) * chosen.replicates / 3600:.1f} h for the same\n"
    )


def draw_truths(rng: np.random.Generator, images: int, classes: int) -> TruthRows:
    """Return objects at random places, about seven an image as in COCO."""
    counts = rng.poisson(OBJECTS, images)
    total = int(counts.sum())
    boxes = np.concatenate([rng.uniform(0, 500, (total, 2)), rng.uniform(10, 150, (total, 2))], 1)
    return TruthRows(
        num_images=images,
        num_classes=classes,
        image_index=np.repeat(np.arange(images), counts),
        boxes=boxes,
        labels=rng.integers(0, classes, total),
        ignore=np.zeros(total, np.bool_),
        area=boxes[:, 2] * boxes[:, 3],
    )


def draw_detections(rng: np.random.Generator, truths: TruthRows) -> DetectionRows:
    """Return most objects, a little displaced, among 290 false alarms an image."""
    found = np.flatnonzero(rng.random(len(truths.labels)) < FOUND)
    near = truths.boxes[found] + rng.normal(0, 2.0, (len(found), 4))
    counts = rng.poisson(FALSE_ALARMS, truths.num_images)
    extra = int(counts.sum())
    wrong = np.concatenate([rng.uniform(0, 500, (extra, 2)), rng.uniform(10, 150, (extra, 2))], 1)
    image = np.concatenate(
        [truths.image_index[found], np.repeat(np.arange(truths.num_images), counts)]
    )
    order = np.argsort(image, kind="stable")
    boxes = np.concatenate([near, wrong])
    boxes[:, 2:] = boxes[:, 2:].clip(1.0)
    scores = np.concatenate([rng.beta(4, 2, len(found)), rng.beta(1, 6, extra)])
    labels = np.concatenate([truths.labels[found], rng.integers(0, truths.num_classes, extra)])
    return DetectionRows(
        image_index=image[order],
        boxes=boxes[order],
        scores=np.round(scores, 6)[order],
        labels=labels[order],
    )


if __name__ == "__main__":
    main()
