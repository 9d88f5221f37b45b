"""Best cells first: the same candidates as from all cells, however few are looked at."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import models.inference.candidates as module
import models.inference.nms as postprocess
from models.heads.detect import CellDecoder
from models.heads.retina import DeltaDecoder
from models.inference.candidates import RankedCandidates
from tests.models.factories import random_predictions
from tests.models.inference.test_nms_postprocess import assert_equals_oracle, slow_candidates
from utils.structures.predictions import Predictions


@pytest.fixture(autouse=True)
def _every_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small problems take the way of large ones."""
    monkeypatch.setattr(module, "FEW_CELLS", 0)
    monkeypatch.setattr(module, "GROWTH", 2)
    monkeypatch.setattr(postprocess, "ONE_PASS", 0)


def ranked(predictions: Predictions, **changes: object) -> RankedCandidates:
    options = {"score_threshold": 0.1, "limit": 1000, "multi_label": True, **changes}
    return RankedCandidates(predictions, 0, **options)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    score_threshold=st.sampled_from([0.0, 0.001, 0.3]),
    max_detections=st.sampled_from([1, 4, 300]),
    max_candidates=st.sampled_from([1, 7, 40, 30000]),
    multi_label=st.booleans(),
    class_agnostic=st.booleans(),
    has_objectness=st.booleans(),
)
def test_detections_equal_the_oracle(seed: int, has_objectness: bool, **options: object) -> None:
    predictions = random_predictions(seed, decoder=CellDecoder(has_objectness=has_objectness))
    assert_equals_oracle(predictions, iou_threshold=0.3, **options)


@pytest.mark.parametrize("count", [1, 2, 5, 50, 10**6])
@pytest.mark.parametrize("step", [0.0, 0.5])
def test_the_first_ones_are_those_of_the_whole_list(count: int, step: float) -> None:
    """With a step, scores are few different values: equal ones keep their order."""
    predictions = random_predictions(5)
    if step:
        levels = tuple((level / step).round() * step for level in predictions.levels)
        predictions = replace(predictions, levels=levels)
    found, is_all = ranked(predictions).first(count)
    cells = slow_candidates(predictions, 0, 0.1)
    expected = sorted((entry for cell in cells for entry in cell), key=lambda entry: -entry[0])
    assert found.labels.tolist() == [label for _, label, _ in expected[:count]]
    assert found.scores.tolist() == pytest.approx([score for score, _, _ in expected[:count]])
    assert is_all == (count >= len(expected))


def test_the_list_ends_at_its_limit() -> None:
    candidates = ranked(random_predictions(5), limit=6)
    found, is_all = candidates.first(100)
    assert (len(found), is_all, candidates.exceed_limit()) == (6, True, True)


@pytest.mark.parametrize("multi_label", [True, False])
def test_the_limit_is_exceeded_by_one_candidate(multi_label: bool) -> None:
    predictions = random_predictions(5)
    found, _ = ranked(predictions, multi_label=multi_label).first(10**6)
    for limit, exceeds in ((len(found) - 1, True), (len(found), False)):
        options = {"limit": limit, "multi_label": multi_label}
        assert ranked(predictions, **options).exceed_limit() is exceeds


def test_one_score_that_is_no_number_hides_no_other() -> None:
    predictions = random_predictions(2)
    expected, _ = ranked(predictions).first(10**6)
    for level in predictions.levels:
        level[..., 5 + 2] = math.nan
    found, is_all = ranked(predictions).first(10**6)
    kept = expected.take((expected.labels != 2).nonzero().squeeze(1))
    assert is_all
    torch.testing.assert_close(found.scores, kept.scores)
    torch.testing.assert_close(found.boxes, kept.boxes)


def test_only_the_best_cells_are_decoded() -> None:
    """The best cell is far ahead: nothing else can be among the first three."""
    predictions = random_predictions(3)
    predictions.levels[1][0, 1, 2, 2, 4:] = 20.0
    candidates = ranked(predictions)
    decoded: list[int] = []
    original = Predictions.decode_cells

    def counting(self: Predictions, level: int, image: int, cells: torch.Tensor) -> object:
        decoded.append(len(cells))
        return original(self, level, image, cells)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Predictions, "decode_cells", counting)
        found, _ = candidates.first(3)
    assert len(found) == 3
    assert sum(decoded) == 3


def test_softmax_scores_are_bounded() -> None:
    """All logits are low, and yet the better of two classes has a score of one half."""
    raw = torch.full((1, 1, 2, 3, 4 + 2), -9.0)
    predictions = Predictions(
        levels=(raw,),
        anchors=torch.ones(1, 1, 2),
        strides=(8,),
        decoder=DeltaDecoder(),
        class_scores="softmax",
    )
    found, _ = ranked(predictions).first(100)
    assert found.scores.tolist() == pytest.approx([0.5] * 12)


@pytest.mark.parametrize("count", [1, 4, 10])
def test_among_equal_scores_the_first_cell_comes_first(count: int) -> None:
    """All cells are as good as the best few: which of them are decoded must not matter."""
    predictions = random_predictions(4)
    for level in predictions.levels:
        level[..., 4:] = 1.0
    boxes = predictions.decode().boxes[0].repeat_interleave(3, dim=0)
    found, _ = ranked(predictions).first(count)
    torch.testing.assert_close(found.boxes, boxes[:count])
    assert found.labels.tolist() == [index % 3 for index in range(count)]
