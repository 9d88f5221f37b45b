"""Errors by image: a picture with a pencil, and sums that must agree with the whole."""

import numpy as np
import pytest

from tests.utils.comparison.detection_problem import random_rows
from tests.utils.metrics.problems import Problem, detections, record
from utils.metrics.operating_points import point_at
from utils.metrics.scored import scored_detections
from utils.metrics.worst_images import image_errors

A, B = (10.0, 10.0, 50.0, 50.0), (100.0, 100.0, 140.0, 140.0)
NEAR_A, FAR = (30.0, 30.0, 70.0, 70.0), (300.0, 300.0, 320.0, 320.0)


def test_every_kind_of_error_by_pencil() -> None:
    problem = Problem(
        truths=[
            record(1, [A, B], [0, 0]),
            record(2, [A], [0]),
            record(3, [A], [0], [True]),
            record(4),
            record(5, [A], [1]),
        ],
        found=[
            # A right, B missed, a second box near the found A is false, one far away too
            detections([A, NEAR_A, FAR], [0.9, 0.8, 0.7], [0, 0, 0]),
            # the only object is misplaced; what scores less than the threshold is not looked at
            detections([NEAR_A, A], [0.9, 0.2], [0, 0]),
            # ignored objects are neither missed nor found
            detections([A], [0.9], [0]),
            detections([A], [0.9], [0]),
            # a wrong class is a miss and a false alarm
            detections([A], [0.9], [0]),
        ],
        num_classes=2,
    )
    evaluator = problem.evaluator()
    errors = image_errors(evaluator.truths, evaluator.detections, threshold=0.5)
    assert errors.missed.tolist() == [1, 1, 0, 0, 1]
    assert errors.false.tolist() == [2, 0, 0, 1, 1]
    assert errors.misplaced.tolist() == [0, 1, 0, 0, 0]
    assert errors.worst("false", 2) == [(0, 2), (3, 1)]
    assert errors.worst("misplaced", 9) == [(1, 1)]


@pytest.mark.parametrize("threshold", [0.0, 0.4, 1.1])
def test_sums_over_images_are_those_of_the_operating_point(threshold: float) -> None:
    truths, found = random_rows(images=15, classes=3, crowd_share=0.2, seed=5)
    errors = image_errors(truths, found, threshold=threshold)
    scored = scored_detections(truths, found)
    point = point_at(
        scored.scores, scored.right, num_truths=int(scored.truths.sum()), threshold=threshold
    )
    total = int(scored.truths.sum())
    assert errors.missed.sum() == round(total * (1 - point.recall))
    wrong = int((~scored.right & (scored.scores >= threshold)).sum())
    assert (errors.false + errors.misplaced).sum() == wrong
    assert all(len(count) == 15 for count in (errors.missed, errors.false, errors.misplaced))


def test_nothing_at_all() -> None:
    evaluator = Problem(truths=[], found=[], num_classes=1).evaluator()
    errors = image_errors(evaluator.truths, evaluator.detections, threshold=0.5)
    assert errors.worst("missed", 5) == []
    assert isinstance(errors.missed, np.ndarray)
