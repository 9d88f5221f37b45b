"""Random detection problems as rows, of any size, with crowds, ties and classes without objects."""

import numpy as np

from utils.metrics.rows import DetectionRows, TruthRows


def random_rows(
    *,
    images: int,
    classes: int,
    objects: float = 4.0,
    false_alarms: float = 6.0,
    crowd_share: float = 0.0,
    quality: float = 0.8,
    seed: int = 0,
) -> tuple[TruthRows, DetectionRows]:
    """Return truths and detections; `quality` is the share of objects that are found."""
    rng = np.random.default_rng(seed)
    truths = random_truths(
        rng, images=images, classes=classes, objects=objects, crowd_share=crowd_share
    )
    return truths, random_detections(rng, truths, false_alarms=false_alarms, quality=quality)


def random_truths(
    rng: np.random.Generator,
    *,
    images: int,
    classes: int,
    objects: float = 4.0,
    crowd_share: float = 0.0,
) -> TruthRows:
    counts = rng.poisson(objects, images)
    total = int(counts.sum())
    corner = rng.uniform(0, 500, (total, 2))
    side = rng.uniform(10, 120, (total, 2))
    boxes = np.round(np.concatenate([corner, side], axis=1), 3)
    return TruthRows(
        num_images=images,
        num_classes=classes,
        image_index=np.repeat(np.arange(images), counts),
        boxes=boxes,
        labels=rng.integers(0, classes, total),
        ignore=rng.random(total) < crowd_share,
        area=boxes[:, 2] * boxes[:, 3],
    )


def random_detections(
    rng: np.random.Generator,
    truths: TruthRows,
    *,
    false_alarms: float = 6.0,
    quality: float = 0.8,
    jitter: float = 0.08,
    decimals: int = 2,
) -> DetectionRows:
    found = np.flatnonzero(rng.random(len(truths.labels)) < quality)
    found = np.concatenate([found, found[rng.random(len(found)) < 0.2]])
    side = truths.boxes[found, 2:].repeat(2, axis=1)[:, [0, 2, 1, 3]]
    noise = rng.normal(0, jitter, (len(found), 4)) * side
    boxes = truths.boxes[found] + noise
    labels = truths.labels[found].copy()
    wrong = rng.random(len(found)) < 0.1
    labels[wrong] = rng.integers(0, truths.num_classes, int(wrong.sum()))
    num_false = rng.poisson(false_alarms, truths.num_images)
    extra = int(num_false.sum())
    corners = np.concatenate([rng.uniform(0, 500, (extra, 2)), rng.uniform(10, 120, (extra, 2))], 1)
    image = np.concatenate(
        [truths.image_index[found], np.repeat(np.arange(truths.num_images), num_false)]
    )
    scores = np.concatenate([rng.beta(4, 2, len(found)), rng.beta(2, 4, extra)])
    order = np.argsort(image, kind="stable")
    boxes = np.concatenate([boxes, corners])
    boxes[:, 2:] = boxes[:, 2:].clip(1.0)
    return DetectionRows(
        image_index=image[order],
        boxes=np.round(boxes, 3)[order],
        scores=np.round(scores, decimals)[order],
        labels=np.concatenate([labels, rng.integers(0, truths.num_classes, extra)])[order],
    )
