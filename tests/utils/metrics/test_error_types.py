"""The confusion matrix: background included, ignored truths in no cell."""

import numpy as np
import pytest
from hypothesis import given, settings

from tests.utils.metrics.oracles import slow_confusion
from tests.utils.metrics.problems import Problem, detections, problems, random_problem, record
from utils.structures.results import EvalResult

BOX = (0.0, 0.0, 10.0, 10.0)
FAR = (100.0, 100.0, 120.0, 120.0)


def result_of(truth_rows: tuple, found_rows: tuple) -> EvalResult:
    problem = Problem(
        truths=[record(1, *truth_rows)], found=[detections(*found_rows)], num_classes=2
    )
    return problem.evaluator(threshold=0.3).compute()


def assert_equals_oracle(problem: Problem) -> None:
    evaluator = problem.evaluator(threshold=0.3)
    results = evaluator.to_coco_results(list(range(problem.num_classes)))
    counts = np.array(evaluator.compute().confusion)
    assert counts.tolist() == slow_confusion(problem, results, 0.3)
    num_truths = [0] * problem.num_classes
    for one in problem.truths:
        for label in one.labels[~one.ignore]:
            num_truths[label] += 1
    assert counts[:-1].sum(axis=1).tolist() == num_truths


@pytest.mark.slow
@settings(max_examples=75, deadline=None)
@given(problems())
def test_equals_slow_count_on_adversarial_cases(problem: Problem) -> None:
    assert_equals_oracle(problem)


def test_equals_slow_count_on_many_boxes() -> None:
    assert_equals_oracle(random_problem(1, num_images=15, per_image=12, num_classes=3))


def test_right_wrong_missed_and_invented() -> None:
    """One of each: 0 found as 0, 1 taken for 0, 1 missed, a 1 where nothing is."""
    second, third = (50.0, 0.0, 60.0, 10.0), (0.0, 50.0, 10.0, 60.0)
    result = result_of(
        ([BOX, second, third], [0, 1, 1]), ([BOX, second, FAR], [0.9, 0.8, 0.7], [0, 0, 1])
    )
    assert result.confusion == ((1, 0, 0), (1, 0, 1), (0, 1, 0))


def test_false_alarms_on_images_without_truths_count() -> None:
    result = result_of(((), ()), ([BOX, FAR], [0.9, 0.3], [1, 1]))
    assert result.confusion == ((0, 0, 0), (0, 0, 0), (0, 2, 0))


def test_detections_below_the_threshold_were_not_made() -> None:
    result = result_of(([BOX], [0]), ([BOX], [0.299], [0]))
    assert result.confusion == ((0, 0, 1), (0, 0, 0), (0, 0, 0))


def test_score_decides_between_two_classes_at_one_place() -> None:
    """Multi-label: the second guess at the same box is a false alarm."""
    result = result_of(([BOX], [0]), ([BOX, BOX], [0.5, 0.9], [0, 1]))
    assert result.confusion == ((0, 1, 0), (0, 0, 0), (1, 0, 0))


def test_equal_overlap_prefers_the_own_class() -> None:
    result = result_of(([BOX, BOX], [0, 1]), ([BOX], [0.9], [0]))
    assert result.confusion == ((1, 0, 0), (0, 0, 1), (0, 0, 0))


def test_ignored_truth_excuses_its_own_class_only() -> None:
    result = result_of(([BOX], [0], [True]), ([BOX, BOX], [0.9, 0.8], [0, 1]))
    assert result.confusion == ((0, 0, 0), (0, 0, 0), (0, 1, 0))


def test_excused_detection_takes_no_truth_of_another_class() -> None:
    result = result_of(([BOX, BOX], [0, 1], [True, False]), ([BOX], [0.9], [0]))
    assert result.confusion == ((0, 0, 0), (0, 0, 1), (0, 0, 0))
