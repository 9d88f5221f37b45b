"""Suppression inside an ONNX graph finds what `models/inference/nms.py` finds."""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inference.nms import Postprocess
from tests.utils.export.cells import nothing, pass_through, random_cells, tied
from utils.export.description import Suppression
from utils.export.nms_graph import NO_LABEL, append_suppression
from utils.structures.scored_cells import ScoredCells

VAL = Suppression(
    score_threshold=0.001,
    iou_threshold=0.6,
    max_detections=300,
    max_candidates=30000,
    multi_label=True,
    class_agnostic=False,
)
VARIANTS = {
    "val": VAL,
    "predict": replace(VAL, score_threshold=0.25, iou_threshold=0.45, multi_label=False),
    "agnostic": replace(VAL, class_agnostic=True),
    "best class, agnostic": replace(VAL, multi_label=False, class_agnostic=True),
    "few detections": replace(VAL, max_detections=4),
    "one detection": replace(VAL, max_detections=1),
    "few candidates": replace(VAL, max_candidates=7, iou_threshold=0.9),
    "few candidates, best class": replace(
        VAL, max_candidates=7, iou_threshold=0.9, multi_label=False
    ),
    "few candidates, agnostic": replace(VAL, max_candidates=7, class_agnostic=True),
    "box voting": replace(VAL, box_voting=0.3),
    "box voting, best class": replace(
        VAL, score_threshold=0.25, multi_label=False, max_detections=9, box_voting=0.5
    ),
    "all scores": replace(VAL, score_threshold=0.0),
}


def run_graph(cells: ScoredCells, variant: Suppression) -> list[np.ndarray]:
    model = pass_through(cells.scores.shape[2])
    append_suppression(model, variant)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"in_boxes": cells.boxes.numpy(), "in_scores": cells.scores.numpy()})


def assert_same(cells: ScoredCells, variant: Suppression) -> None:
    boxes, scores, labels, counts = run_graph(cells, variant)
    num_images, limit = len(cells.boxes), variant.max_detections
    assert boxes.shape == (num_images, limit, 4)
    assert scores.shape == labels.shape == (num_images, limit)
    expected = Postprocess(**asdict(variant))(cells).detections
    assert counts.tolist() == [len(found) for found in expected]
    for image, found in enumerate(expected):
        kept = len(found)
        # Pixels: weights are computed in float32 there, in float64 here. Boxes a tenth of a pixel
        # wide have an IoU of five digits in float32, and the mean is of boxes ten pixels apart.
        near = 0.0 if variant.box_voting is None else 1e-3
        np.testing.assert_allclose(boxes[image, :kept], found.boxes.numpy(), rtol=0, atol=near)
        np.testing.assert_array_equal(scores[image, :kept], found.scores.numpy())
        np.testing.assert_array_equal(labels[image, :kept], found.labels.numpy())
        assert not boxes[image, kept:].any()
        assert not scores[image, kept:].any()
        assert (labels[image, kept:] == NO_LABEL).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_same_as_postprocess(name: str) -> None:
    for seed in range(6):
        assert_same(random_cells(seed), VARIANTS[name])


@pytest.mark.parametrize("name", VARIANTS)
def test_equal_scores_keep_their_order(name: str) -> None:
    for seed in range(6):
        assert_same(tied(random_cells(seed)), VARIANTS[name])


@given(
    seed=st.integers(0, 2**16),
    num_images=st.integers(1, 4),
    num_classes=st.integers(1, 5),
    name=st.sampled_from(sorted(VARIANTS)),
)
@settings(max_examples=15)
def test_any_batch(seed: int, num_images: int, num_classes: int, name: str) -> None:
    assert_same(random_cells(seed, num_images, num_classes), VARIANTS[name])


@pytest.mark.parametrize("side", [np.inf, np.nan])
def test_a_box_that_is_not_finite_harms_no_other(side: float) -> None:
    cells = ScoredCells(
        boxes=torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, side, side]]]),
        scores=torch.tensor([[[0.8], [0.6], [0.5]]]),
    )
    boxes, *_ = run_graph(cells, replace(VAL, box_voting=0.6))
    np.testing.assert_allclose(boxes[0, 0], [0, 0, 10, 10 * 0.8 + 8 * 0.2], rtol=1e-5)


def test_nothing_found_in_any_image() -> None:
    assert_same(nothing(3, 2), VAL)


def test_an_image_with_nothing_beside_one_with_something() -> None:
    cells = random_cells(1)
    cells.scores[0] = 0
    assert_same(cells, VAL)


def test_one_class_and_one_cell() -> None:
    cells: Any = random_cells(2, 1, 1)
    assert_same(ScoredCells(boxes=cells.boxes[:, :1], scores=cells.scores[:, :1]), VAL)
