"""Box voting: each kept box becomes a mean of the boxes that the network gave for the same object.

Suppression keeps the box of the best score, which is not the best placed one; the mean of what it
dropped is placed better (Gidaris and Komodakis, arXiv 1505.01749, section 4). Ours: a vote weighs
more the more it overlaps and the nearer its score is, and falls to 0 at both limits without a jump,
so that rounding never decides who votes. Who votes depends on the kept box alone, not on the score
threshold: validation and prediction give an object the same box.
"""

import torch
from torch import Tensor

from models.inference.candidates import Candidates, RankedCandidates
from utils.structures.exact import in_float64
from utils.structures.predictions import Predictions
from utils.structures.scored_cells import VOTING_SHARE, ScoredCells

MOST_VOTERS = 5000
"""Only so many candidates of an image vote, best first; a trained network has fewer."""
MOST_PAIRS = 1 << 19
"""Pairs of a kept box and a voter that are looked at at once, which bounds the memory."""
CACHED_PAIRS = 1 << 15
"""The same on a CPU, whose nearest caches have room for several tables of so many float64. With
more pairs for each class than that, it looks at class by class, else at all of them together."""
TINY = 1e-12


def vote(
    kept: Candidates, predictions: Predictions | ScoredCells, image: int, *, overlap: float
) -> Tensor:
    """Return the boxes (K, 4) of the `kept` ones after the vote, in their order and type.

    Args:
        kept: what suppression left of the image.
        predictions: of the batch.
        image: which of its images.
        overlap: IoU up to which a candidate of the same class has no vote, 0 to 1.
    """
    if not len(kept):
        return kept.boxes
    ranked = RankedCandidates(
        predictions,
        image,
        score_threshold=VOTING_SHARE * float(kept.scores.min()),
        limit=MOST_VOTERS,
        multi_label=True,  # a cell votes for a class whether or not it is its best
    )
    voters, _ = ranked.first(MOST_VOTERS)
    # One box that is not finite would enter every mean, even by a weight of 0.
    voters = voters.take(voters.boxes.isfinite().all(dim=1))
    if kept.boxes.device.type != "cpu":
        return _elected_in_parts(kept, voters, overlap, pairs=MOST_PAIRS).to(kept.boxes)
    labels = kept.labels.unique()
    if len(kept) * len(voters) < CACHED_PAIRS * len(labels):
        return _elected_in_parts(kept, voters, overlap, pairs=CACHED_PAIRS).to(kept.boxes)
    boxes = kept.boxes.clone()
    for label in labels:
        own, others = kept.labels == label, voters.labels == label
        part = _elected_in_parts(kept.take(own), voters.take(others), overlap, pairs=CACHED_PAIRS)
        boxes[own] = part.to(boxes)
    return boxes


def _elected_in_parts(
    kept: Candidates, voters: Candidates, overlap: float, *, pairs: int
) -> Tensor:
    """As `elected`, from tables of about so many `pairs` at once."""
    rows = max(1, pairs // max(1, len(voters)))
    parts = [
        elected(kept.take(slice(start, start + rows)), voters, overlap)
        for start in range(0, len(kept), rows)
    ]
    return torch.cat(parts)


def elected(kept: Candidates, voters: Candidates, overlap: float) -> Tensor:
    """Return the boxes (K, 4) float64 on which the voters agree.

    A vote weighs (score - `VOTING_SHARE` x kept score) x (IoU - `overlap`), nothing where one of
    them is not above 0. A box without votes, because it has no area, stays.
    """
    boxes, others = in_float64(kept.boxes), in_float64(voters.boxes)
    scores = in_float64(voters.scores)[None] - VOTING_SHARE * in_float64(kept.scores)[:, None]
    weights = _overlaps(boxes, others).sub_(overlap).clamp_(min=0).mul_(scores.clamp_(min=0))
    other_class = kept.labels[:, None] != voters.labels[None]
    weights.masked_fill_(other_class.to(weights.device), 0.0)  # float64 is not on every device
    total = weights.sum(dim=1, keepdim=True)
    return boxes + (weights @ others - total * boxes) / total.clamp(min=TINY)


def _overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Return the IoU (K, N) of boxes (K, 4) and others (N, 4).

    Each coordinate is a row in memory, of which a CPU takes several values at once.
    """
    x1, y1, x2, y2 = boxes.T.contiguous()[:, :, None]
    left, top, right, bottom = others.T.contiguous()
    widths = (torch.minimum(x2, right) - torch.maximum(x1, left)).clamp_(min=0)
    heights = (torch.minimum(y2, bottom) - torch.maximum(y1, top)).clamp_(min=0)
    common = widths.mul_(heights)
    areas = (x2 - x1) * (y2 - y1) + (right - left) * (bottom - top)
    overlaps: Tensor = common / (areas - common).clamp_(min=TINY)
    return overlaps
