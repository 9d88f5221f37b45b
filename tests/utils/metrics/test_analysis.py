"""The analysis agrees with the headline, also where there is nothing to analyse."""

import json

import numpy as np
import pytest

from tests.utils.metrics.problems import Problem, detections, random_problem, record
from utils.metrics.analysis import Analysis, analyse

BOX = (10.0, 10.0, 42.0, 42.0)


def analysis_of(problem: Problem) -> Analysis:
    evaluator = problem.evaluator()
    return analyse(
        evaluator.truths,
        evaluator.detections,
        judge="hotcoco",
        threshold=0.3,
        shared_threshold=0.4,
    )


def test_curves_and_counts_belong_to_the_headline() -> None:
    problem = random_problem(2, num_images=12, per_image=6, num_classes=3)
    result = problem.evaluator(threshold=0.3).compute()
    analysis = analysis_of(problem)
    for label, quality in enumerate(result.per_class.values()):
        assert np.mean(analysis.precision50[:, label]) == pytest.approx(quality.ap50)
        best = analysis.thresholds[label].best
        assert best is not None
        assert (best.threshold, best.f1) == (quality.threshold, quality.f1)
    given = result.operating_points["given"]
    assert analysis.pooled.f1[30] == pytest.approx(given["f1"])
    assert analysis.pooled.recall[30] == pytest.approx(given["recall"])
    missed = round((1 - given["recall"]) * result.counts["truths"])
    assert analysis.image_errors.missed.sum() == missed
    assert analysis.error_types is not None


def test_it_survives_json() -> None:
    problem = random_problem(1, num_images=4, per_image=3, num_classes=2)
    paths = [f"{number}.jpg" for number in range(4)]
    written = analysis_of(problem).to_json(["a", "b"], paths)
    read = json.loads(json.dumps(written, allow_nan=False))
    assert set(read["worst_images"]) == {"missed", "false", "misplaced"}
    assert all(path in paths for path, _ in read["worst_images"]["false"])
    assert len(read["by_score_threshold"]["a"]["f1"]) == 101


@pytest.mark.parametrize(
    "problem",
    [
        Problem(truths=[], found=[], num_classes=2),
        Problem(truths=[record(5)], found=[detections([BOX], [0.9], [1])], num_classes=2),
        Problem(truths=[record(5, [BOX], [0])], found=[detections()], num_classes=2),
    ],
    ids=["no images", "only detections", "only truths"],
)
def test_nothing_to_analyse(problem: Problem) -> None:
    analysis = analysis_of(problem)
    paths = ["5.jpg"] * len(problem.truths)
    json.dumps(analysis.to_json(["a", "b"], paths), allow_nan=False)
    assert not any(analysis.right)


def test_where_hotcoco_cannot_split_errors_the_rest_stands(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(*_rows: object) -> None:
        raise ValueError("no such image")

    monkeypatch.setattr("utils.metrics.analysis.error_types", failing)
    analysis = analysis_of(random_problem(1, num_images=3, per_image=3, num_classes=2))
    assert analysis.error_types is None
    assert caplog.messages == ["kinds of errors are left out: hotcoco failed (no such image)"]
