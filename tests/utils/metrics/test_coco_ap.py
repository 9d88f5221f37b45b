"""COCO's numbers: both judges equal pycocotools on the data's own ids, to the last bit."""

import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.utils.metrics.oracles import as_coco_json, class_ap, pycocotools_on
from tests.utils.metrics.problems import (
    Problem,
    crowded_problems,
    detections,
    problems,
    random_problem,
    read_coco,
    record,
)
from utils.metrics.coco_ap import JUDGES, CocoNumbers
from utils.metrics.rows import DetectionRows, TruthRows
from utils.structures.results import EvalResult

BOX = (10.0, 10.0, 42.0, 42.0)
DETECTIONS = "golden/coco128_yolov5n_v7_detections.json.gz"


def headline(result: EvalResult) -> list[float | None]:
    """Return the twelve numbers in COCO's order."""
    sizes = result.by_size
    return [
        *(result.map50_95, result.map50, result.map75),
        *(sizes[size]["ap"] for size in ("small", "medium", "large")),
        *(result.average_recall[limit] for limit in ("1", "10", "100")),
        *(sizes[size]["ar"] for size in ("small", "medium", "large")),
    ]


def assert_equals_pycocotools(problem: Problem) -> None:
    category_ids = [7 * label * label + 3 for label in range(problem.num_classes)]
    results = problem.evaluator().to_coco_results(category_ids)
    expected = pycocotools_on(as_coco_json(problem, category_ids), results)
    wanted = [None if value < 0 else value for value in expected.stats.tolist()]
    for index in (0, 1, 2, 6, 7, 8):
        wanted[index] = wanted[index] or 0.0
    for judge in JUDGES:
        result = problem.evaluator(judge).compute()
        assert headline(result) == wanted, judge
        for label, quality in enumerate(result.per_class.values()):
            assert quality.ap == class_ap(expected, label), judge
            assert quality.ap50 == class_ap(expected, label, slice(1)), judge


@pytest.fixture(scope="module")
def coco128(shared: Path) -> tuple[Problem, list[int]]:
    """Ground truth and detections of photographs, and the ids of their categories."""
    return read_coco(
        shared / "data/coco128/annotations/instances_train2017.json", shared / DETECTIONS
    )


@pytest.mark.slow
def test_golden_coco128(coco128: tuple[Problem, list[int]]) -> None:
    problem, category_ids = coco128
    results = {judge: problem.evaluator(judge).compute() for judge in JUDGES}
    assert results["hotcoco"] == results["pycocotools"]
    result = results["hotcoco"]
    assert [round(value, 5) for value in headline(result)[:3] if value is not None] == [
        0.35865,
        0.54197,
        0.36023,
    ]
    assert [round(value, 4) for value in headline(result)[3:9] if value is not None] == [
        *(0.1908, 0.4579, 0.5063),
        *(0.2992, 0.4668, 0.5188),
    ]
    saved = problem.evaluator().to_coco_results(category_ids)
    assert len(saved) == result.counts["detections"] == 27725
    expected = pycocotools_on(as_coco_json(problem, category_ids), saved)
    assert headline(result) == expected.stats.tolist()


@pytest.mark.slow
def test_rounding_gives_a_json_its_decimals_back(
    shared: Path, coco128: tuple[Problem, list[int]]
) -> None:
    """float32 corners and back: boxes and scores equal the file's as written."""
    import gzip
    import json

    problem, category_ids = coco128
    given_rows = json.loads(gzip.decompress((shared / DETECTIONS).read_bytes()))
    as_given = sorted((r["image_id"], r["score"], *r["bbox"]) for r in given_rows)
    saved = problem.evaluator().to_coco_results(category_ids)
    assert sorted((r["image_id"], r["score"], *r["bbox"]) for r in saved) == as_given


@pytest.mark.slow
@settings(max_examples=100)
@given(problems())
def test_judges_equal_pycocotools_on_adversarial_cases(problem: Problem) -> None:
    """Crowds, equal scores, equal overlaps, area edges, classes and images without anything."""
    assert_equals_pycocotools(problem)


@pytest.mark.slow
@settings(max_examples=30)
@given(crowded_problems())
def test_judges_equal_pycocotools_beyond_its_limits(problem: Problem) -> None:
    """More detections than count, decimals that a file cuts, category ids far apart."""
    assert_equals_pycocotools(problem)


@pytest.mark.parametrize("seed", range(4))
def test_judges_equal_pycocotools_on_random_cases(seed: int) -> None:
    assert_equals_pycocotools(
        random_problem(seed, num_images=12, per_image=8, num_classes=3 + seed)
    )


@pytest.mark.slow
def test_more_detections_of_a_class_than_coco_looks_at() -> None:
    problem = random_problem(9, num_images=2, per_image=160, num_classes=1)
    assert max(len(found) for found in problem.found) > 100
    assert_equals_pycocotools(problem)


def test_image_ids_beyond_float32_are_kept_apart() -> None:
    first, second = 2**24, 2**24 + 1
    huge = 2**62 + 1
    problem = Problem(
        truths=[record(first, [BOX], [0]), record(second), record(huge, [BOX], [0])],
        found=[detections([BOX], [0.9], [0]), detections(), detections([BOX], [0.8], [0])],
        num_classes=1,
    )
    for judge in JUDGES:
        evaluator = problem.evaluator(judge)
        assert evaluator.compute().map50_95 == pytest.approx(1)
        assert [row["image_id"] for row in evaluator.to_coco_results([1])] == [first, huge]


def test_size_edges_belong_to_both_sides() -> None:
    for side, sizes in ((32.0, ("small", "medium")), (96.0, ("medium", "large"))):
        problem = Problem(
            truths=[record(1, [(0, 0, side, side)], [0])],
            found=[detections([(0, 0, side, side)], [0.5], [0])],
            num_classes=1,
        )
        for judge in JUDGES:
            by_size = problem.evaluator(judge).compute().by_size
            assert [size for size in by_size if by_size[size]["ap"] is not None] == list(sizes)


def test_first_truth_and_first_detection_count() -> None:
    """pycocotools takes a match with annotation id 0 for no match."""
    problem = Problem(
        truths=[record(0, [BOX], [0])], found=[detections([BOX], [0.5], [0])], num_classes=1
    )
    for judge in JUDGES:
        assert problem.evaluator(judge).compute().map50 == pytest.approx(1)


@pytest.mark.parametrize(
    "problem",
    [
        Problem(truths=[], found=[], num_classes=2),
        Problem(truths=[record(5)], found=[detections()], num_classes=2),
        Problem(truths=[record(5)], found=[detections([BOX], [0.9], [1])], num_classes=2),
        Problem(truths=[record(5, [BOX], [0])], found=[detections()], num_classes=2),
        Problem(
            truths=[record(5, [BOX], [0], [True])],
            found=[detections([BOX], [0.9], [0])],
            num_classes=2,
        ),
    ],
    ids=["no images", "nothing", "only detections", "only truths", "only ignored"],
)
def test_degenerate_data_give_zeros(problem: Problem) -> None:
    for judge in JUDGES:
        result = problem.evaluator(judge).compute()
        assert (result.map50_95, result.map50, result.map75) == (0, 0, 0)
        has_truth = result.counts["truths"] > 0
        for quality in result.by_size.values():
            assert quality["ap"] in ((0, None) if has_truth else (None,))
        assert result.per_class["class 1"].ap is None
        assert (result.per_class["class 0"].ap == 0) == has_truth


class RustPanicError(BaseException):
    """Like pyo3's PanicException, which is no Exception."""


def broken_stats(truths: TruthRows, _found: DetectionRows) -> CocoNumbers:
    none = np.full(truths.num_classes, -1.0)
    return CocoNumbers(stats=np.full(12, np.nan), class_ap=none, class_ap50=none, precision50=none)


def too_few_classes(_truths: TruthRows, _found: DetectionRows) -> CocoNumbers:
    return CocoNumbers(
        stats=np.zeros(12), class_ap=np.zeros(1), class_ap50=np.zeros(1), precision50=np.zeros(1)
    )


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        (ValueError("bad\nbox"), "(ValueError: bad)"),
        (RustPanicError("index"), "(RustPanicError: index)"),
        (broken_stats, "(ValueError: a number is outside of 0 to 1)"),
        (too_few_classes, "(ValueError: 1 of 2 classes were evaluated)"),
    ],
)
def test_where_hotcoco_fails_pycocotools_judges_and_the_log_says_so(
    judge: Any, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    problem = random_problem(0, num_images=3, per_image=3, num_classes=2)
    right = problem.evaluator("pycocotools").compute()

    def failing(truths: TruthRows, found: DetectionRows) -> CocoNumbers:
        if isinstance(judge, BaseException):
            raise judge
        return judge(truths, found)

    monkeypatch.setattr("utils.metrics.coco_ap.judge_with_hotcoco", failing)
    assert problem.evaluator("hotcoco").compute() == right
    (message,) = caplog.messages
    assert message.startswith(f"hotcoco failed {why}; pycocotools is used instead")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_after_an_evaluation_does_not_wait_for_threads_of_its_parent() -> None:
    problem = random_problem(0, num_images=3, per_image=3, num_classes=2)
    right = problem.evaluator("hotcoco").compute()  # starts threads, which no child gets
    child = multiprocessing.get_context("fork").Process(
        target=lambda: os._exit(problem.evaluator("hotcoco").compute() != right)
    )
    child.start()
    child.join(timeout=200)
    code = child.exitcode
    child.kill()
    assert code == 0


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_an_interruption_is_no_failure_of_hotcoco(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_rows: object) -> CocoNumbers:
        raise error

    monkeypatch.setattr("utils.metrics.coco_ap.judge_with_hotcoco", interrupted)
    with pytest.raises(type(error)):
        random_problem(0, num_images=1, per_image=2, num_classes=1).evaluator().compute()


def test_pycocotools_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    problem = random_problem(0, num_images=3, per_image=3, num_classes=2)
    for judge in JUDGES:
        problem.evaluator(judge).compute()
    assert capfd.readouterr() == ("", "")


def test_stats_are_those_of_summarize() -> None:
    """`CocoNumbers.from_curves` against pycocotools' own summary of the same arrays."""
    problem = random_problem(3, num_images=10, per_image=6, num_classes=4)
    results = problem.evaluator().to_coco_results([1, 2, 3, 4])
    expected = pycocotools_on(as_coco_json(problem, [1, 2, 3, 4]), results)
    numbers = CocoNumbers.from_curves(expected.eval["precision"], expected.eval["recall"])
    np.testing.assert_array_equal(numbers.stats, expected.stats)
    assert len(set(numbers.stats.tolist())) > 8
