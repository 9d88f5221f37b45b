"""Box voting against loops in plain Python, and what it must not do."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.inference import box_voting
from models.inference.box_voting import elected
from models.inference.candidates import Candidates
from models.inference.nms import Postprocess
from tests.utils.export.cells import random_cells
from utils.structures.scored_cells import VOTING_SHARE, ScoredCells


def candidates(boxes: list[list[float]], scores: list[float], labels: list[int]) -> Candidates:
    return Candidates(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.int64),
    )


def by_loops(kept: Candidates, voters: Candidates, overlap: float) -> list[list[float]]:
    """The mean of the voters, weighed by score and IoU above their limits, one by one."""
    means = []
    for box, score, label in rows(kept):
        sums, total = [0.0] * 4, 0.0
        for other, given_score, given_label in rows(voters):
            weight = max(0.0, given_score - VOTING_SHARE * score) * max(
                0.0, iou(box, other) - overlap
            )
            if given_label == label and weight > 0:
                total += weight
                sums = [a + weight * b for a, b in zip(sums, other, strict=True)]
        means.append([each / total for each in sums] if total else box)
    return means


def rows(of: Candidates) -> list[tuple[list[float], float, int]]:
    return list(zip(of.boxes.tolist(), of.scores.tolist(), of.labels.tolist(), strict=True))


def iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union > 0 else 0.0


@st.composite
def some(draw: st.DrawFn) -> Candidates:
    count = draw(st.integers(0, 7))
    corners = st.integers(0, 12)
    boxes = [
        [x, y, x + draw(corners), y + draw(corners)]
        for x, y in (draw(st.tuples(corners, corners)) for _ in range(count))
    ]
    scores = [draw(st.integers(1, 20)) / 20 for _ in range(count)]
    labels = [draw(st.integers(0, 1)) for _ in range(count)]
    return candidates([[float(side) for side in box] for box in boxes], scores, labels)


@pytest.mark.slow
@given(some(), some(), st.sampled_from([0.1, 0.5, 0.7]))
def test_as_by_loops(kept: Candidates, others: Candidates, overlap: float) -> None:
    voters = kept.join(others)
    expected = torch.tensor(by_loops(kept, voters, overlap), dtype=torch.float64).reshape(-1, 4)
    torch.testing.assert_close(elected(kept, voters, overlap), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("num_classes", "pairs"), [(2, 1 << 6), (2, 1 << 15), (9, 1 << 10)])
def test_all_classes_together_or_one_after_the_other(
    num_classes: int, pairs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class by class in small tables, in large ones, and all together give what loops give."""
    generator = torch.Generator().manual_seed(num_classes)
    starts = torch.rand(60, 2, generator=generator) * 40
    sides = torch.rand(60, 2, generator=generator) * 30 + 5
    voters = Candidates(
        boxes=torch.cat((starts, starts + sides), dim=1),
        scores=torch.rand(60, generator=generator).sort(descending=True).values,
        labels=torch.randint(0, num_classes, (60,), generator=generator),
    )
    kept = voters.take(slice(25))
    monkeypatch.setattr(box_voting, "CACHED_PAIRS", pairs)
    monkeypatch.setattr(box_voting, "RankedCandidates", lambda *_, **__: Ranked(voters))
    found = box_voting.vote(kept, random_cells(0), 0, overlap=0.3)
    expected = torch.tensor(by_loops(kept, voters, 0.3))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


class Ranked:
    """Candidates that were ranked before."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates

    def first(self, count: int) -> tuple[Candidates, bool]:
        return self._candidates.take(slice(count)), True


def test_two_boxes_meet_by_their_weights() -> None:
    kept = candidates([[0, 0, 10, 10]], [0.8], [0])
    voters = kept.join(candidates([[0, 0, 10, 8]], [0.6], [0]))
    # Weights (0.8 - 0.4) x (1 - 0.6) = 0.16 and (0.6 - 0.4) x (0.8 - 0.6) = 0.04.
    expected = torch.tensor([[0, 0, 10, 10 * 0.8 + 8 * 0.2]], dtype=torch.float64)
    torch.testing.assert_close(elected(kept, voters, 0.6), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [
        candidates([[0, 0, 10, 6]], [0.7], [0]),  # overlaps by 0.6
        candidates([[0, 0, 10, 8]], [0.4], [0]),  # half of the score
        candidates([[0, 0, 10, 8]], [0.7], [1]),  # another class
    ],
)
def test_who_has_no_vote(other: Candidates) -> None:
    kept = candidates([[0, 0, 10, 10]], [0.8], [0])
    assert elected(kept, kept.join(other), 0.6).tolist() == [[0, 0, 10, 10]]


def test_a_box_without_area_stays() -> None:
    kept = candidates([[3, 3, 3, 9]], [0.8], [0])
    assert elected(kept, kept, 0.5).tolist() == [[3, 3, 3, 9]]


POSTPROCESS = {"iou_threshold": 0.5, "box_voting": 0.3}


def found(cells: ScoredCells, **settings: float) -> tuple[Tensor, Tensor, Tensor]:
    (first, *_) = Postprocess(**POSTPROCESS | settings)(cells).detections  # type: ignore[arg-type]
    return first.boxes, first.scores, first.labels


@pytest.mark.parametrize("seed", range(4))
def test_only_boxes_change_and_the_score_threshold_does_not_change_them(seed: int) -> None:
    cells = random_cells(seed)
    boxes, scores, labels = found(cells)
    plain_boxes, plain_scores, plain_labels = found(cells, box_voting=None)  # type: ignore[arg-type]
    assert torch.equal(scores, plain_scores)
    assert torch.equal(labels, plain_labels)
    assert not torch.equal(boxes, plain_boxes)
    high_boxes, high_scores, _ = found(cells, score_threshold=float(scores[len(scores) // 2]))
    assert 0 < len(high_scores) < len(scores)
    torch.testing.assert_close(high_boxes, boxes[: len(high_scores)], rtol=1e-6, atol=0)


def test_a_cell_votes_for_a_class_that_is_not_its_best() -> None:
    cells = ScoredCells(
        boxes=torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 8]]]),
        scores=torch.tensor([[[0.8, 0.0], [0.6, 0.7]]]),
    )
    boxes, _, labels = found(cells, multi_label=False, box_voting=0.6)
    assert labels.tolist() == [0, 1]
    torch.testing.assert_close(boxes[0], torch.tensor([0, 0, 10, 10 * 0.8 + 8 * 0.2]))


@pytest.mark.parametrize("side", [float("inf"), float("nan")])
def test_a_box_that_is_not_finite_harms_no_other(side: float) -> None:
    cells = ScoredCells(
        boxes=torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 8], [0, 0, side, side]]]),
        scores=torch.tensor([[[0.8], [0.6], [0.5]]]),
    )
    boxes, *_ = found(cells, box_voting=0.6)
    torch.testing.assert_close(boxes[0], torch.tensor([0, 0, 10, 10 * 0.8 + 8 * 0.2]))


def test_parts_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = random_cells(1)
    whole = found(cells)[0]
    monkeypatch.setattr(box_voting, "MOST_PAIRS", 1)
    torch.testing.assert_close(found(cells)[0], whole, rtol=1e-6, atol=0)


def test_an_image_without_detections() -> None:
    cells = random_cells(0)
    empty = replace(cells, scores=torch.zeros_like(cells.scores))
    boxes, scores, _ = found(empty)
    assert boxes.shape == (0, 4)
    assert not len(scores)
