"""The evaluator as a whole: properties of its numbers, bookkeeping, messages."""

import json
import math
from dataclasses import asdict, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.utils.metrics.problems import Problem, detections, problems, random_problem, record
from utils.metrics.evaluator import DetectionEvaluator
from utils.structures.results import Detections, results_json

BOX = (10.0, 10.0, 50.0, 50.0)


def evaluator_of(*truths: object, num_classes: int = 1) -> DetectionEvaluator:
    return DetectionEvaluator(
        truths=list(truths),  # type: ignore[arg-type]
        class_names=[f"class {label}" for label in range(num_classes)],
        judge="hotcoco",
        report_threshold=0.25,
    )


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(problems(), st.randoms())
def test_order_of_images_does_not_matter(problem: Problem, random: object) -> None:
    pairs = list(zip(problem.truths, problem.found, strict=True))
    random.shuffle(pairs)  # type: ignore[attr-defined]
    shuffled = replace(
        problem, truths=[pair[0] for pair in pairs], found=[pair[1] for pair in pairs]
    )
    assert shuffled.evaluator().compute() == problem.evaluator().compute()
    assert shuffled.evaluator().to_coco_results([0, 1, 2]) == problem.evaluator().to_coco_results(
        [0, 1, 2]
    )


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(problems(), st.integers(1, 3))
def test_images_without_anything_change_only_their_count(problem: Problem, added: int) -> None:
    before = problem.evaluator().compute()
    new = [record(2**41 + index) for index in range(added)]
    after = replace(
        problem, truths=[*new, *problem.truths], found=[*[detections()] * added, *problem.found]
    ).evaluator()
    counts = {**before.counts, "images": before.counts["images"] + added}
    assert after.compute() == replace(before, counts=counts)


@pytest.mark.parametrize("seed", range(3))
def test_perfect_detections_are_perfect(seed: int) -> None:
    problem = random_problem(seed, num_images=6, per_image=5, num_classes=2)
    perfect = [
        Detections(
            boxes=torch.from_numpy(one.boxes),
            scores=torch.rand(len(one.labels)) * 0.5 + 0.5,
            labels=torch.from_numpy(one.labels),
        )
        for one in problem.truths
    ]
    result = replace(problem, found=perfect).evaluator().compute()
    assert result.map50_95 == pytest.approx(1)
    assert result.average_recall["100"] == 1
    for name in ("best_f1", "given"):
        point = result.operating_points[name]
        assert (point["precision"], point["recall"], point["f1"]) == (1, 1, 1)
    off_diagonal = sum(
        count
        for row, counts in enumerate(result.confusion)
        for column, count in enumerate(counts)
        if row != column
    )
    # Two truths of different classes may be the same box, but not with random corners.
    assert off_diagonal == 0


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(problems())
def test_pooled_point_agrees_with_classes_and_counts(problem: Problem) -> None:
    result = problem.evaluator(threshold=0.0).compute()
    qualities = result.per_class.values()
    assert sum(quality.num_truths for quality in qualities) == result.counts["truths"]
    assert sum(quality.num_detections for quality in qualities) == result.counts["detections"]
    pooled, given_point = result.operating_points["best_f1"], result.operating_points["given"]
    assert pooled["f1"] >= given_point["f1"] or math.isclose(pooled["f1"], given_point["f1"])
    if len(result.per_class) == 1:
        (only,) = qualities
        assert only.f1 is None or {**pooled} == {key: getattr(only, key) for key in pooled}
    for quality in qualities:
        assert (quality.f1 is None) == (quality.precision is None) == (quality.threshold is None)
        if quality.num_truths == 0:
            assert quality.ap is None
            assert quality.f1 is None


def test_scores_and_boxes_are_rounded_once() -> None:
    evaluator = evaluator_of(record(1))
    evaluator.update([1], [detections([(1.00049, 2.0006, 3.1, 4.0)], [0.12345649], [0])])
    (row,) = evaluator.to_coco_results([90])
    assert row == {
        "image_id": 1,
        "category_id": 90,
        "bbox": [1.0, 2.001, 2.1, 1.999],
        "score": 0.123456,
    }
    assert json.loads(json.dumps(row)) == row


def test_detections_keep_their_order_in_the_file() -> None:
    evaluator = evaluator_of(record(7), record(3), num_classes=2)
    evaluator.update([7], [detections([BOX, BOX], [0.2, 0.9], [1, 0])])
    evaluator.update([3], [detections([BOX], [0.5], [0])])
    rows = evaluator.to_coco_results([5, 9])
    assert [(row["image_id"], row["score"]) for row in rows] == [(3, 0.5), (7, 0.2), (7, 0.9)]
    assert [row["category_id"] for row in rows] == [5, 9, 5]


def test_counts_and_caps() -> None:
    evaluator = evaluator_of(record(1, [BOX, BOX], [0, 0], [False, True]), record(2))
    evaluator.update([1], [detections([BOX], [0.9], [0])], at_candidate_cap=[True])
    evaluator.update([2], [detections()], at_candidate_cap=[True], at_detection_cap=[False])
    assert evaluator.compute().counts == {
        "images": 2,
        "truths": 1,
        "ignored": 1,
        "detections": 1,
        "images_at_candidate_cap": 2,
        "images_at_detection_cap": 0,
        "images_cut": 0,
    }


@pytest.mark.parametrize(("lowest", "cut"), [(0.04, 0), (0.06, 1)])
def test_a_full_image_was_cut_only_where_its_last_score_counts(lowest: float, cut: int) -> None:
    evaluator = DetectionEvaluator(
        truths=[record(1, [BOX], [0])], class_names=("a",), judge="hotcoco", report_threshold=0.3
    )
    evaluator.update([1], [detections([BOX, BOX], [0.9, lowest], [0, 0])], at_detection_cap=[True])
    counts = evaluator.compute().counts
    assert (counts["images_at_detection_cap"], counts["images_cut"]) == (1, cut)
    assert json.loads(json.dumps(counts)) == counts


def test_reset_forgets_detections_and_caps() -> None:
    evaluator = evaluator_of(record(1, [BOX], [0]))
    evaluator.update([1], [detections([BOX], [0.9], [0])], at_detection_cap=[True])
    evaluator.reset()
    assert evaluator.to_coco_results([1]) == []
    evaluator.update([1], [detections()])
    assert evaluator.compute().counts["images_at_detection_cap"] == 0
    assert evaluator.compute().map50 == 0


def test_without_a_right_detection_the_best_point_is_the_given_one() -> None:
    evaluator = evaluator_of(record(1, [BOX], [0]))
    evaluator.update([1], [detections([(200, 200, 210, 210)], [0.9], [0])])
    points = evaluator.compute().operating_points
    assert (
        points["best_f1"]
        == points["given"]
        == {
            "threshold": 0.25,
            "precision": 0,
            "recall": 0,
            "f1": 0,
        }
    )


def test_ignored_truths_are_neutral_everywhere() -> None:
    evaluator = evaluator_of(record(1, [BOX, (100, 100, 200, 200)], [0, 0], [False, True]))
    evaluator.update([1], [detections([BOX, (100, 100, 190, 190)], [0.8, 0.9], [0, 0])])
    result = evaluator.compute()
    assert result.map50 == pytest.approx(1)
    assert result.operating_points["given"]["precision"] == 1
    assert result.per_class["class 0"].precision == 1
    assert result.per_class["class 0"].num_truths == 1
    assert result.confusion == ((1, 0), (0, 0))


@pytest.mark.parametrize(
    ("image_ids", "found", "message"),
    [
        ([4], detections(), "image 4 is not among the truths"),
        ([1, 1], detections(), "image 1 was given twice"),
        ([1], detections([BOX], [0.5], [2]), "detections of image 1: labels must be 0 to 1, got 2"),
        ([1], detections([BOX], [0.5], [-1]), "got -1"),
        ([1], detections([BOX], [math.nan], [0]), "detections of image 1 are not finite"),
        ([1], detections([(0, 0, math.inf, 1)], [0.5], [0]), "are not finite"),
        ([1], detections([(0, 5, 9, 4)], [0.5], [0]), "image 1: a box has x2 < x1 or y2 < y1"),
    ],
)
def test_update_refuses(image_ids: list[int], found: Detections, message: str) -> None:
    evaluator = evaluator_of(record(1), record(2), num_classes=2)
    with pytest.raises(ValueError, match=message):
        evaluator.update(image_ids, [found] * len(image_ids))


def test_forgotten_images_are_an_error() -> None:
    evaluator = evaluator_of(record(1), record(2), record(3))
    evaluator.update([2], [detections()])
    with pytest.raises(ValueError, match="2 of 3 images were never evaluated"):
        evaluator.compute()


def test_truths_are_checked() -> None:
    with pytest.raises(ValueError, match="image_id occurs more than once"):
        evaluator_of(record(1), record(1))
    with pytest.raises(ValueError, match="truths: labels must be 0 to 0, got 0 to 1"):
        evaluator_of(record(1, [BOX, BOX], [0, 1]))


def test_results_json_holds_the_promised_keys_and_survives_json() -> None:
    result = random_problem(0, num_images=5, per_image=5, num_classes=3).evaluator().compute()
    written = results_json(result, epochs=100, images_per_second=12.5, config_hash="abc")
    promised = {
        *("map50_95", "map50", "map75", "per_class", "by_size"),
        *("epochs", "images_per_second", "config_hash"),
    }
    assert promised <= set(written)
    numbers = asdict(result)
    assert numbers.pop("losses") == {}  # of a training; weights alone have none
    assert {**numbers, "epochs": 100, "images_per_second": 12.5, "config_hash": "abc"} == written
    read = json.loads(json.dumps(written, allow_nan=False))
    assert read["map50_95"] == result.map50_95
    assert read["per_class"]["class 1"]["ap"] == result.per_class["class 1"].ap
    assert read["confusion"] == [list(row) for row in result.confusion]
