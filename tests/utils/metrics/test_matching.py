"""Who finds whom at IoU 0.5: COCO's rules, checked on pycocotools' own match tables."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings

from tests.utils.metrics.oracles import as_coco_json, pycocotools_on, slow_overlap, verdicts_at_half
from tests.utils.metrics.problems import Problem, detections, problems, random_problem, record
from utils.metrics.matching import Matching, match, overlapping_pairs
from utils.metrics.rows import DetectionRows, TruthRows, detection_rows, join_detections, truth_rows


def rows_of(problem: Problem) -> tuple[TruthRows, DetectionRows]:
    order = np.argsort([one.image_id for one in problem.truths])
    truths = truth_rows([problem.truths[i] for i in order], num_classes=problem.num_classes)
    parts = [detection_rows(position, problem.found[i]) for position, i in enumerate(order)]
    return truths, join_detections(parts).best_first()


def matched(problem: Problem, *, across_classes: bool) -> tuple[TruthRows, DetectionRows, Matching]:
    truths, found = rows_of(problem)
    pairs = overlapping_pairs(truths, found)
    return truths, found, match(truths, found, pairs, across_classes=across_classes)


def assert_verdicts_equal_pycocotools(problem: Problem) -> None:
    _, found, matching = matched(problem, across_classes=False)
    image_ids = sorted(one.image_id for one in problem.truths)
    ours = defaultdict(list)
    for row in range(len(found)):
        verdict = "right" if matching.truth[row] >= 0 else "wrong"
        if matching.neutral[row]:
            verdict = "neutral"
        key = image_ids[found.image_index[row]], int(found.labels[row])
        ours[key].append((float(found.scores[row]), verdict))
    category_ids = list(range(problem.num_classes))
    results = problem.evaluator().to_coco_results(category_ids)
    expected = verdicts_at_half(pycocotools_on(as_coco_json(problem, category_ids), results))
    assert {key: sorted(rows) for key, rows in ours.items()} == {
        key: rows for key, rows in expected.items() if rows
    }


@pytest.mark.slow
@settings(max_examples=75, deadline=None)
@given(problems())
def test_verdicts_are_cocos(problem: Problem) -> None:
    assert_verdicts_equal_pycocotools(problem)


@pytest.mark.parametrize("seed", range(3))
def test_verdicts_are_cocos_on_many_boxes(seed: int) -> None:
    assert_verdicts_equal_pycocotools(
        random_problem(seed, num_images=10, per_image=12, num_classes=2)
    )


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(problems())
def test_pairs_are_those_of_the_double_loop(problem: Problem) -> None:
    truths, found = rows_of(problem)
    expected = {
        (i, j): slow_overlap(list(found.boxes[i]), list(truths.boxes[j]), bool(truths.ignore[j]))
        for i in range(len(found))
        for j in range(len(truths.labels))
        if found.image_index[i] == truths.image_index[j]
    }
    pairs = overlapping_pairs(truths, found)
    ours = dict(zip(zip(pairs.detection, pairs.truth, strict=True), pairs.overlap, strict=True))
    assert ours == {key: value for key, value in expected.items() if value >= 0.5}


def test_better_score_chooses_first_and_a_truth_is_found_once() -> None:
    problem = Problem(
        truths=[record(1, [(0, 0, 10, 10)], [0])],
        found=[detections([(0, 0, 10, 9), (0, 0, 10, 10)], [0.9, 0.4], [0, 0])],
        num_classes=1,
    )
    _, _, matching = matched(problem, across_classes=False)
    assert matching.truth.tolist() == [0, -1]


def test_detection_takes_the_truth_it_overlaps_most() -> None:
    problem = Problem(
        truths=[record(1, [(0, 0, 10, 10), (2, 0, 12, 10)], [0, 0])],
        found=[detections([(2, 0, 12, 10)], [0.9], [0])],
        num_classes=1,
    )
    _, _, matching = matched(problem, across_classes=False)
    assert matching.truth.tolist() == [1]


def test_overlap_of_exactly_half_is_enough() -> None:
    for height, expected in ((5.0, 0), (4.999, -1)):
        problem = Problem(
            truths=[record(1, [(0, 0, 10, 10)], [0])],
            found=[detections([(0, 0, 10, height)], [0.9], [0])],
            num_classes=1,
        )
        _, _, matching = matched(problem, across_classes=False)
        assert matching.truth.tolist() == [expected]


def test_many_detections_may_lie_within_one_ignored_truth() -> None:
    """A crowd: only the share of the detection counts, and it is never used up."""
    inside, half_outside, of_other_class = (10, 10, 20, 20), (-6, 0, 4, 10), (30, 30, 40, 40)
    problem = Problem(
        truths=[record(1, [(0, 0, 100, 100)], [0], [True])],
        found=[
            detections(
                [inside, inside, half_outside, of_other_class], [0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1]
            )
        ],
        num_classes=2,
    )
    _, _, matching = matched(problem, across_classes=False)
    assert matching.neutral.tolist() == [True, True, False, False]
    assert (matching.truth == -1).all()


def test_truth_of_another_class_is_found_only_across_classes() -> None:
    problem = Problem(
        truths=[record(1, [(0, 0, 10, 10)], [0])],
        found=[detections([(0, 0, 10, 10)], [0.9], [1])],
        num_classes=2,
    )
    assert matched(problem, across_classes=False)[2].truth.tolist() == [-1]
    assert matched(problem, across_classes=True)[2].truth.tolist() == [0]


def test_of_equal_overlaps_the_last_truth_is_taken() -> None:
    """As pycocotools: the first detection lies midway and takes the right one, none is left for
    the second."""
    problem = Problem(
        truths=[record(1, [(0, 0, 10, 10), (4, 0, 14, 10)], [0, 0])],
        found=[detections([(2, 0, 12, 10), (5, 0, 15, 10)], [0.9, 0.8], [0, 0])],
        num_classes=1,
    )
    _, _, matching = matched(problem, across_classes=False)
    assert matching.truth.tolist() == [1, -1]
    assert_verdicts_equal_pycocotools(problem)


@pytest.mark.parametrize("images", [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 0, 1]])
@pytest.mark.parametrize("scores", [[0.9, 0.8, 0.9, 0.1], [0.1, 0.2, 0.3, 0.4], [0.5] * 4])
def test_rows_are_sorted_by_image_and_falling_score(images: list[int], scores: list[float]) -> None:
    rows = DetectionRows(
        image_index=np.array(images),
        boxes=np.arange(16.0).reshape(4, 4),
        scores=np.array(scores),
        labels=np.arange(4),
    )
    order = sorted(range(4), key=lambda row: (images[row], -scores[row]))
    assert rows.best_first().labels.tolist() == order
