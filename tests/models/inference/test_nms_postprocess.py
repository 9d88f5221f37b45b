"""Postprocessing against a plain-Python oracle, and its limits."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.heads.detect import CellDecoder
from models.heads.retina import DeltaDecoder
from models.inference import nms
from models.inference.candidates import Candidates
from models.inference.nms import Postprocess
from tests.models.factories import logit, random_predictions, raw_cells
from utils.structures.decoder import Decoder
from utils.structures.predictions import Predictions
from utils.structures.results import Detections
from utils.structures.scored_cells import ScoredCells

Found = tuple[float, int, list[float]]


def slow_iou(a: Sequence[float], b: Sequence[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union > 0 else 0.0


def slow_candidates(predictions: Predictions, image: int, threshold: float) -> list[list[Found]]:
    """Per cell: its (score, label, box) above the threshold, in class order."""
    decoded = predictions.decode()
    scores = decoded.objectness[image, :, None] * decoded.class_scores[image]
    return [
        [(s, c, box) for c, s in enumerate(row) if s > torch.tensor(threshold)]
        for row, box in zip(scores.tolist(), decoded.boxes[image].tolist(), strict=True)
    ]


def slow_postprocess(predictions: Predictions, image: int, **options: object) -> list[Found]:
    rows = slow_candidates(predictions, image, options["score_threshold"])
    if not options["multi_label"]:
        rows = [[max(row, key=lambda found: found[0])] for row in rows if row]
    ranked = sorted((found for row in rows for found in row), key=lambda found: -found[0])
    kept: list[Found] = []
    for score, label, box in ranked[: options["max_candidates"]]:
        rivals = [other for other in kept if options["class_agnostic"] or other[1] == label]
        if all(slow_iou(box, other[2]) <= options["iou_threshold"] for other in rivals):
            kept.append((score, label, box))
    return kept[: options["max_detections"]]


def assert_equals_oracle(predictions: Predictions, **options: object) -> None:
    result = Postprocess(**options)(predictions)
    for image, found in enumerate(result.detections):
        expected = slow_postprocess(predictions, image, **options)
        assert found.labels.tolist() == [label for _, label, _ in expected]
        assert found.scores.tolist() == pytest.approx([score for score, _, _ in expected])
        boxes = torch.tensor([box for _, _, box in expected]).view(-1, 4)
        # a corner is a difference of numbers as large as the boxes: a few roundings of those
        roundings = (
            4 * torch.finfo(torch.float32).eps * float(boxes.abs().max()) if len(boxes) else 0
        )
        torch.testing.assert_close(found.boxes, boxes, rtol=1e-6, atol=roundings)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    score_threshold=st.sampled_from([0.0, 0.001, 0.1, 0.4]),
    iou_threshold=st.sampled_from([0.1, 0.45, 0.6, 1.0]),
    max_detections=st.sampled_from([1, 5, 300]),
    max_candidates=st.sampled_from([1, 40, 30000]),
    multi_label=st.booleans(),
    class_agnostic=st.booleans(),
)
def test_equals_the_oracle(seed: int, **options: object) -> None:
    assert_equals_oracle(random_predictions(seed), **options)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    score_threshold=st.sampled_from([0.0, 0.1, 0.6]),
    decoder=st.sampled_from([CellDecoder(has_objectness=False), DeltaDecoder()]),
    multi_label=st.booleans(),
)
def test_without_objectness_equals_the_oracle(
    seed: int, decoder: Decoder, **options: object
) -> None:
    predictions = random_predictions(seed, decoder=decoder)
    rest = {"max_detections": 50, "max_candidates": 200, "class_agnostic": False}
    assert_equals_oracle(predictions, iou_threshold=0.6, **options, **rest)


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_a_long_list_of_candidates_equals_the_oracle(class_agnostic: bool) -> None:
    """More candidates than the first prefix, few survivors: suppression has to look further."""
    predictions = random_predictions(1, num_images=1, num_classes=20, shift=2.0)
    options = {
        "score_threshold": 0.001,
        "iou_threshold": 0.05,
        "max_candidates": 30000,
        "multi_label": True,
        "class_agnostic": class_agnostic,
    }
    for max_detections in (3, 20, 300):
        assert_equals_oracle(predictions, max_detections=max_detections, **options)


def three_boxes() -> Predictions:
    """Cells 0 and 1 see one object (IoU 0.6), cell 4 another; two classes."""
    boxes = [
        (6.0, 4.0, 32.0, 32.0),
        (14.0, 4.0, 32.0, 32.0),
        (20.0, 4.0, 8.0, 8.0),
        (28.0, 4.0, 8.0, 8.0),
        (36.0, 4.0, 16.0, 16.0),
    ]
    objectness = torch.tensor([0.9, 0.8, 1e-6, 1e-6, 0.5])
    scores = torch.tensor([[0.9, 0.1], [0.9, 0.3], [0.5, 0.5], [0.5, 0.5], [0.2, 0.8]])
    return raw_cells(boxes, scores, objectness)


def found(predictions: Predictions, **options: object) -> Detections:
    return Postprocess(**options)(predictions).detections[0]


def test_by_hand_per_class() -> None:
    result = found(three_boxes(), score_threshold=0.25, iou_threshold=0.5)
    assert result.scores.tolist() == pytest.approx([0.81, 0.4])
    assert result.labels.tolist() == [0, 1]
    torch.testing.assert_close(result.boxes[0], torch.tensor([-10.0, -12.0, 22.0, 20.0]))


def test_overlap_at_most_the_threshold_is_kept() -> None:
    assert len(found(three_boxes(), score_threshold=0.25, iou_threshold=0.601)) == 3


def test_multi_label_gives_a_cell_several_classes_and_best_class_one() -> None:
    options = {"score_threshold": 0.08, "iou_threshold": 0.5}
    assert found(three_boxes(), **options).labels.tolist() == [0, 1, 1, 0]
    assert found(three_boxes(), **options, multi_label=False).labels.tolist() == [0, 1]


def test_agnostic_suppression_crosses_classes() -> None:
    options = {"score_threshold": 0.2, "iou_threshold": 0.5}
    assert found(three_boxes(), **options).labels.tolist() == [0, 1, 1]
    assert found(three_boxes(), **options, class_agnostic=True).labels.tolist() == [0, 1]


def test_equal_scores_keep_cell_order() -> None:
    boxes = [(8.0 * column + 4, 4.0, 2.0, 2.0) for column in range(40)]
    scores, objectness = torch.full((40, 1), 0.5), torch.full((40,), 0.5)
    predictions = raw_cells(boxes, scores, objectness)
    lefts = found(predictions, max_candidates=25, max_detections=20).boxes[:, 0].tolist()
    assert lefts == pytest.approx([8.0 * column + 3 for column in range(20)], abs=1e-3)


@pytest.mark.parametrize(
    ("max_candidates", "max_detections", "expected"),
    [
        (30, 10, (False, False)),
        (29, 10, (True, False)),
        (30, 9, (False, True)),
        (5, 1, (True, True)),
    ],
)
def test_limits_that_cut_are_reported(
    max_candidates: int, max_detections: int, expected: tuple[bool, bool]
) -> None:
    boxes = [(8.0 * column + 4, 4.0, 2.0, 2.0) for column in range(10)]
    scores = torch.full((10, 3), 0.5)
    predictions = raw_cells(boxes, scores, torch.full((10,), 0.5))
    process = Postprocess(
        max_candidates=max_candidates, max_detections=max_detections, class_agnostic=True
    )
    result = process(predictions)
    assert (*result.at_candidate_cap, *result.at_detection_cap) == expected
    assert len(result.detections[0]) == min(max_detections, 10, max_candidates)


def test_detections_beyond_the_first_prefix_are_noticed() -> None:
    """Two cells fill the first prefix with eight candidates; a third, worse, would survive too."""
    boxes = [(8.0 * column + 4, 4.0, 2.0, 2.0) for column in range(3)]
    scores = torch.full((3, 4), 0.5)
    predictions = raw_cells(boxes, scores, torch.tensor([0.9, 0.9, 0.1]))
    result = Postprocess(max_detections=2, class_agnostic=True)(predictions)
    assert (len(result.detections[0]), result.at_detection_cap) == (2, (True,))


@pytest.mark.parametrize("one_pass", [1, 1200])
def test_a_second_round_begins_where_the_first_one_ended(
    one_pass: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first eight candidates are one box, so all else is found in the second round."""
    monkeypatch.setattr("models.inference.nms.ONE_PASS", one_pass)
    corners = torch.tensor([0.0] * 8 + [20.0, 0.0, 40.0])
    boxes = torch.stack((corners, corners, corners + 9, corners + 9), dim=1)
    scores = torch.linspace(0.9, 0.1, 11)
    cells = ScoredCells(boxes=boxes[None], scores=scores[None, :, None])
    result = Postprocess(max_detections=2)(cells)
    assert torch.equal(result.detections[0].boxes, boxes[[0, 8]])
    assert torch.equal(result.detections[0].scores, scores[[0, 8]])
    assert result.at_detection_cap == (True,)


def test_nothing_above_the_threshold_is_no_detection() -> None:
    predictions = random_predictions(0, shift=-20.0)
    result = Postprocess()(predictions)
    assert [len(each) for each in result.detections] == [0, 0]
    assert result.detections[0].labels.dtype == torch.int64
    assert result.at_candidate_cap == result.at_detection_cap == (False, False)


def test_no_image_is_no_result() -> None:
    assert Postprocess()(random_predictions(0, num_images=0)).detections == ()


def test_suppression_is_idempotent() -> None:
    process = Postprocess(score_threshold=0.05, iou_threshold=0.4)
    result = process(random_predictions(7)).detections[0]
    for index, box in enumerate(result.boxes.tolist()):
        for other in range(index):
            same = result.labels[index] == result.labels[other]
            assert not same or slow_iou(box, result.boxes[other].tolist()) <= 0.4 + 1e-6
    assert bool((result.scores.diff() <= 0).all())


def test_an_image_gets_the_same_detections_in_any_batch() -> None:
    together = random_predictions(3, num_images=4)
    process = Postprocess()
    for image, expected in enumerate(process(together).detections):
        alone = Predictions(
            levels=tuple(level[image : image + 1] for level in together.levels),
            anchors=together.anchors,
            strides=together.strides,
            decoder=together.decoder,
        )
        actual = process(alone).detections[0]
        assert torch.equal(actual.boxes, expected.boxes)
        assert torch.equal(actual.scores, expected.scores)
        assert torch.equal(actual.labels, expected.labels)


def test_threads_share_the_images_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = random_predictions(5, num_images=7)
    for level in predictions.levels:
        level.requires_grad_()
    process = Postprocess(box_voting=0.5)
    alone = process(predictions)
    began: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, threads: int) -> None:
            began.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(nms, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    together = process(predictions)
    assert began == [3]
    assert together.at_candidate_cap == alone.at_candidate_cap
    assert together.at_detection_cap == alone.at_detection_cap
    for found, expected in zip(together.detections, alone.detections, strict=True):
        assert torch.equal(found.boxes, expected.boxes)
        assert torch.equal(found.scores, expected.scores)
        assert torch.equal(found.labels, expected.labels)
        assert not found.boxes.requires_grad


@pytest.mark.parametrize("threshold", [0.001, 0.25, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_first_filter_loses_no_candidate(threshold: float, dtype: torch.dtype) -> None:
    """Objectness just above the threshold and a class score of one: a candidate by a hair."""
    near = torch.arange(-40, 41) * 2.0**-8 + logit(threshold)
    raw = torch.full((1, 1, 1, 81, 6), 30.0, dtype=dtype)
    raw[..., :4] = 0
    raw[0, 0, 0, :, 4] = near.to(dtype)
    predictions = Predictions(
        levels=(raw,), anchors=torch.ones(1, 1, 2), strides=(8,), decoder=CellDecoder()
    )
    expected = int((raw[..., 4].float().sigmoid() > threshold).sum())
    assert len(found(predictions, score_threshold=threshold)) == expected > 0


def test_far_classes_do_not_lose_digits() -> None:
    """A pair whose IoU is above the threshold by one part in 10^6, as class 0 and as class 79."""
    boxes = torch.tensor([[0.0, 0, 600, 1], [0.0, 0, 300.0004, 1], [600.0, 0, 640, 40]])
    for label in (0, 79):
        candidates = Candidates(
            boxes=boxes,
            scores=torch.tensor([0.9, 0.8, 0.7]),
            labels=torch.tensor([label, label, 0]),
        )
        assert Postprocess(iou_threshold=0.5)._survivors(candidates).tolist() == [0, 2]


@pytest.mark.parametrize(
    "options",
    [
        {"score_threshold": 1.0},
        {"score_threshold": -0.1},
        {"iou_threshold": 1.1},
        {"max_detections": 0},
        {"max_candidates": 0},
    ],
)
def test_settings_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be (in|from)"):
        Postprocess(**options)


def chosen_cells(predictions: Predictions, level: int) -> Tensor:
    return torch.arange(predictions.levels[level][0, ..., 0].numel())


def test_a_cell_is_counted_by_anchor_then_row_then_column() -> None:
    raw = torch.randn(1, 3, 4, 5, 5 + 2, generator=torch.Generator().manual_seed(0))
    predictions = Predictions(
        levels=(raw,), anchors=torch.rand(1, 3, 2) + 1, strides=(8,), decoder=CellDecoder()
    )
    cells = torch.tensor([0, 7, 33, 59])
    found = predictions.decode_cells(0, 0, cells)
    decoded = predictions.decode()
    for column, whole in zip(
        found, (decoded.boxes, decoded.objectness, decoded.class_scores), strict=True
    ):
        assert torch.equal(column, whole[0, cells])


def test_chosen_cells_decode_as_all_cells_do() -> None:
    predictions = random_predictions(2)
    decoded = predictions.decode()
    for image in range(2):
        parts = [
            predictions.decode_cells(level, image, chosen_cells(predictions, level))
            for level in range(2)
        ]
        boxes, objectness, scores = (torch.cat(part) for part in zip(*parts, strict=True))
        torch.testing.assert_close(boxes, decoded.boxes[image])
        torch.testing.assert_close(objectness, decoded.objectness[image])
        torch.testing.assert_close(scores, decoded.class_scores[image])
