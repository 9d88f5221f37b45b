"""Weighted AP against pycocotools: plain, and on images that are really repeated or left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.utils.comparison.detection_problem import random_rows
from utils.comparison.statistics.match_table import IOU_THRESHOLDS, best_of_each_class, match_table
from utils.comparison.statistics.weighted_ap import mean_over_classes, weighted_class_ap
from utils.metrics.coco_ap import JUDGES
from utils.metrics.rows import DetectionRows, Floats, TruthRows


def repeated(
    truths: TruthRows, detections: DetectionRows, counts: list[int]
) -> tuple[TruthRows, DetectionRows]:
    """Oracle: write each image down as often as it counts."""
    images = np.repeat(np.arange(truths.num_images), counts)
    truth_rows = [np.flatnonzero(truths.image_index == image) for image in images]
    found_rows = [np.flatnonzero(detections.image_index == image) for image in images]

    def joined(rows: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.zeros(0, int), *rows]).astype(int)

    kept, found = joined(truth_rows), detections.select(joined(found_rows))
    return (
        TruthRows(
            num_images=len(images),
            num_classes=truths.num_classes,
            image_index=np.repeat(np.arange(len(images)), [len(r) for r in truth_rows]),
            boxes=truths.boxes[kept],
            labels=truths.labels[kept],
            ignore=truths.ignore[kept],
            area=truths.area[kept],
        ),
        DetectionRows(
            image_index=np.repeat(np.arange(len(images)), [len(r) for r in found_rows]),
            boxes=found.boxes,
            scores=found.scores,
            labels=found.labels,
        ),
    )


def assert_equals_judge(
    class_ap: Floats, truths: TruthRows, detections: DetectionRows, judge: str
) -> None:
    """Compare (C, 3) numbers of one replicate with what a judge says."""
    coco = JUDGES[judge](truths, detections)
    present = coco.class_ap >= 0
    np.testing.assert_array_equal(np.isnan(class_ap[:, 0]), ~present)
    np.testing.assert_allclose(class_ap[present, 0], coco.class_ap[present], rtol=0, atol=1e-9)
    np.testing.assert_allclose(class_ap[present, 1], coco.class_ap50[present], rtol=0, atol=1e-9)
    means = mean_over_classes(class_ap[None])[0]
    np.testing.assert_allclose(means, np.maximum(coco.stats[:3], 0.0), rtol=0, atol=1e-9)


@pytest.mark.parametrize("judge", ["pycocotools", "hotcoco"])
@pytest.mark.parametrize("crowd_share", [0.0, 0.3])
def test_ones_give_the_judges_numbers(judge: str, crowd_share: float) -> None:
    truths, found = random_rows(images=40, classes=5, crowd_share=crowd_share, seed=3)
    ap = weighted_class_ap(match_table(truths, found), np.ones((40, 1)))
    assert ap[0, :, 0].min() > 0.05
    assert_equals_judge(ap[0], truths, found, judge)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    images=st.integers(1, 8),
    classes=st.integers(1, 4),
    objects=st.sampled_from([0.0, 0.5, 3.0, 12.0]),
    false_alarms=st.sampled_from([0.0, 2.0, 20.0]),
    crowd_share=st.sampled_from([0.0, 0.4]),
    data=st.data(),
)
def test_counts_equal_repeated_images(
    seed: int,
    images: int,
    classes: int,
    objects: float,
    false_alarms: float,
    crowd_share: float,
    data: st.DataObject,
) -> None:
    truths, found = random_rows(
        images=images,
        classes=classes,
        objects=objects,
        false_alarms=false_alarms,
        crowd_share=crowd_share,
        seed=seed,
    )
    counts = data.draw(st.lists(st.integers(0, 3), min_size=images, max_size=images))
    weights = np.array([counts, [1] * images], float).T
    ap = weighted_class_ap(match_table(truths, found), weights)
    assert_equals_judge(ap[1], truths, found, "hotcoco")
    # Repeated images change the order of equal scores: without ties there is none to change.
    spread = np.linspace(0.99, 0.01, max(len(found), 1))[np.argsort(np.argsort(-found.scores))]
    distinct = DetectionRows(
        image_index=found.image_index, boxes=found.boxes, scores=spread, labels=found.labels
    )
    ap = weighted_class_ap(match_table(truths, distinct), weights)
    if sum(counts):
        means = [grouped_ap(truths, distinct, counts, label) for label in range(classes)]
        np.testing.assert_allclose(ap[0, :, 0], means, rtol=0, atol=1e-9)


def grouped_ap(truths: TruthRows, found: DetectionRows, counts: list[int], label: int) -> float:
    """Oracle in plain Python: walk down the scores; copies of an image move together."""
    table = match_table(truths, found).classes[label]
    total = sum(c * n for c, n in zip(counts, table.truths.tolist(), strict=True))
    if total == 0:
        return float("nan")
    values = []
    for row in range(len(IOU_THRESHOLDS)):
        right = judged = 0
        curve = []
        for position, image in enumerate(table.image.tolist()):
            if table.neutral[row, position]:
                continue
            judged += counts[image]
            right += counts[image] * bool(table.hit[row, position])
            if judged:
                curve.append((right / total, right / judged))
        for recall in np.linspace(0, 1, 101):
            values.append(max((p for r, p in curve if r >= recall), default=0.0))
    return float(np.mean(values))


def test_weights_are_relative() -> None:
    truths, found = random_rows(images=20, classes=3, crowd_share=0.2, seed=5)
    weights = np.random.default_rng(0).exponential(size=(20, 4))
    table = match_table(truths, found)
    one = weighted_class_ap(table, weights)
    np.testing.assert_allclose(weighted_class_ap(table, weights * 7.3), one, atol=1e-9)
    whole = np.round(weights * 50)
    near = weighted_class_ap(table, whole + 1e-13)
    np.testing.assert_allclose(near, weighted_class_ap(table, whole), atol=1e-9)


def test_images_of_weight_zero_do_not_exist() -> None:
    truths, found = random_rows(images=12, classes=3, seed=8)
    counts = [1, 0] * 6
    ap = weighted_class_ap(match_table(truths, found), np.array(counts, float)[:, None])
    assert_equals_judge(ap[0], *repeated(truths, found, counts), "pycocotools")


def test_blocks_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    truths, found = random_rows(images=15, classes=2, seed=9)
    weights = np.random.default_rng(1).integers(0, 3, (15, 50)).astype(float)
    whole = weighted_class_ap(match_table(truths, found), weights)
    monkeypatch.setattr("utils.comparison.statistics.weighted_ap._CELLS_AT_ONCE", 1)
    np.testing.assert_array_equal(weighted_class_ap(match_table(truths, found), weights), whole)


def test_only_the_best_hundred_of_an_image_and_class_count() -> None:
    rows = DetectionRows(
        image_index=np.zeros(230, int),
        boxes=np.ones((230, 4)),
        scores=np.linspace(1, 0, 230),
        labels=np.arange(230) % 2,
    )
    kept = best_of_each_class(rows)
    np.testing.assert_array_equal(kept.scores, rows.scores[:200])
    truths, found = random_rows(images=2, classes=1, objects=20, false_alarms=150, seed=2)
    ap = weighted_class_ap(match_table(truths, found), np.ones((2, 1)))
    assert_equals_judge(ap[0], truths, found, "pycocotools")


def test_weights_of_another_split_are_refused() -> None:
    truths, found = random_rows(images=3, classes=1)
    with pytest.raises(ValueError, match="weights of 4 images, table of 3"):
        weighted_class_ap(match_table(truths, found), np.ones((4, 1)))
