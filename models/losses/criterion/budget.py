"""Where the loss and its gradient come from: measured beside a training run, without touching it.

Legend: T targets, L levels, N elements of a level, C classes, E elements of all levels.
"""

from dataclasses import replace

import torch
from torch import Tensor

from models.losses.criterion.branch import Branch, BranchInput
from models.losses.criterion.criterion import DetectionCriterion
from utils.structures.batch import Targets
from utils.structures.budget import (
    DIFFICULTY_BINS,
    LOSS_BINS,
    LOSS_BINS_PER_OCTAVE,
    LOWEST_OCTAVE,
    NEGATIVE,
    POSITIVE,
    SCORE_BINS,
    BranchBudget,
    LossBudget,
)
from utils.structures.exact import in_float64
from utils.structures.predictions import Assignment, Predictions


def measure_budget(
    criterion: DetectionCriterion, predictions: Predictions, targets: Targets
) -> LossBudget:
    """Return the budget of one batch; waits for the device.

    Training is not affected: the logits are detached copies, no running statistic changes, no
    random number is drawn. Measured before the criterion has seen the batch, statistics are as they
    are for the loss, but for counts that include the batch at hand (seesaw). Of several processes
    each measures its own batches.

    Args:
        criterion: the loss of the training, in any mode.
        predictions: what the network returned.
        targets: T targets of the batch; T may be 0.
    """
    was_training = criterion.training
    criterion.eval()
    try:
        with torch.no_grad(), torch.autocast(predictions.levels[0].device.type, enabled=False):
            parts = criterion.parts(predictions, targets)
            branches = {
                name: _branch_budget(criterion.branches[name], given, parts.num_foreground)
                for name, given in parts.branches.items()
            }
    finally:
        criterion.train(was_training)
    matches, found = _matches(parts.assignment, predictions, targets)
    labels, num_classes = targets.labels.cpu(), predictions.num_classes
    return LossBudget(
        branches=branches,
        matches=matches,
        targets=labels.bincount(minlength=num_classes).double(),
        matched_targets=labels[found].bincount(minlength=num_classes).double(),
        images=len(predictions.levels[0]),
        batches=1,
        strides=predictions.strides,
    )


def _branch_budget(branch: Branch, given: BranchInput, num_positives: Tensor) -> BranchBudget:
    """Return the sums of one branch.

    A target above 0 makes a positive; a match whose target is an overlap of 0 is a negative, as for
    the loss. Rows that do not count are left out, elements that a selection drops are included with
    loss 0. A softmax has one loss a row, counted for its true class; its gradient and difficulty
    are those of each logit. A term of the whole set (dice) is in the gradient, and in no loss.
    """
    losses, gradients = _losses_and_gradients(branch, given, num_positives)
    logits, targets = torch.cat(given.logits), torch.cat(given.targets)
    is_softmax = getattr(branch.loss, "over_classes", False)
    scores = logits.softmax(dim=1) if is_softmax else logits.sigmoid()
    loss, gradient = torch.cat(losses), torch.cat(gradients).abs()
    if loss.ndim < targets.ndim:
        loss = _on_true_class(loss, targets)
    num_levels, num_classes = len(given.logits), 1 if targets.ndim == 1 else targets.shape[1]
    rows = [len(level) for level in given.logits]
    counted = _spread(torch.cat(given.counted), targets) if given.counted else targets >= 0

    side = torch.where(targets > 0, POSITIVE, NEGATIVE)
    difficulty = _bin((scores - targets).abs() * DIFFICULTY_BINS, DIFFICULTY_BINS)
    level = torch.arange(num_levels, device=side.device).repeat_interleave(
        torch.tensor(rows, device=side.device), output_size=sum(rows)
    )
    label = torch.arange(num_classes, device=side.device)
    place = (side * DIFFICULTY_BINS + difficulty) * num_levels + _spread(level, targets)
    place = place * num_classes + (label if targets.ndim > 1 else 0)
    shape = (2, DIFFICULTY_BINS, num_levels, num_classes)
    exists = in_float64(counted)
    sums = [_binned(place, values, shape) for values in (exists, loss, gradient)]
    score_place = side * SCORE_BINS + _bin(scores * SCORE_BINS, SCORE_BINS)
    loss_place = side * LOSS_BINS + _loss_bin(loss)
    return BranchBudget(
        sums=torch.stack(sums, dim=-1),
        scores=_binned(score_place, exists, (2, SCORE_BINS)),
        losses=torch.stack(
            [_binned(loss_place, values, (2, LOSS_BINS)) for values in (exists, loss)],
            dim=-1,
        ),
    )


def _losses_and_gradients(
    branch: Branch, given: BranchInput, num_positives: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return by level what each element adds to the term, (N,) or (N, C), and the gradient of the
    term, in the shape of the logits.
    """
    leaves = tuple(level.detach().requires_grad_() for level in given.logits)
    own = replace(given, logits=leaves)
    with torch.enable_grad():
        losses = branch.contributions(own, num_positives)
        if hasattr(branch.loss, "set_term"):
            term = branch(own, num_positives)
        else:
            term = torch.stack([level.sum() for level in losses]).sum()
        gradients = torch.autograd.grad(term, leaves, materialize_grads=True)
    return tuple(level.detach() for level in losses), gradients


def _matches(
    assignment: Assignment, predictions: Predictions, targets: Targets
) -> tuple[Tensor, Tensor]:
    """Return how many matches there are by level, anchor and class (L, A, C), and which targets
    have any (T,).
    """
    shape = (len(predictions.levels), predictions.levels[0].shape[1], predictions.num_classes)
    counts = torch.zeros(shape, dtype=torch.float64)
    found = torch.zeros(len(targets), dtype=torch.bool)
    labels = targets.labels.cpu()
    for count, level in zip(counts, assignment.levels, strict=True):
        valid = level.valid.cpu()
        target, anchor = level.target.cpu()[valid], level.anchor.cpu()[valid]
        count += _binned(anchor * shape[2] + labels[target], valid[valid], shape[1:])
        found[target] = True
    return counts, found


def _on_true_class(loss: Tensor, targets: Tensor) -> Tensor:
    """Return losses (E,) of rows at the highest of their targets (E, C), 0 beside it."""
    true = targets.argmax(dim=1, keepdim=True)
    return loss.new_zeros(targets.shape).scatter(1, true, loss[:, None])


def _spread(rows: Tensor, elements: Tensor) -> Tensor:
    """Return rows (E,) in the shape of elements (E,) or (E, C)."""
    return rows if elements.ndim == 1 else rows[:, None].expand_as(elements)


def _loss_bin(loss: Tensor) -> Tensor:
    octave = loss.clamp(min=0).log2() - LOWEST_OCTAVE  # minus infinity for none
    return _bin(octave * LOSS_BINS_PER_OCTAVE, LOSS_BINS)


def _bin(value: Tensor, bins: int) -> Tensor:
    """Return the whole part of `value`, between 0 and bins - 1; NaN gives 0."""
    return value.nan_to_num(0.0).clamp(0, bins - 1).long()


def bincount_is_best(device: torch.device) -> bool:
    """Whether to sum by bincount: nine times faster than index_add on a CPU, but without a fixed
    order on a GPU.
    """
    return device.type == "cpu"


def _binned(place: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the sums of `values` by flat index `place` in float64 on the CPU, in `shape`."""
    size = torch.Size(shape).numel()
    values = in_float64(values.flatten())
    place = place.flatten().to(values.device)
    if bincount_is_best(place.device):
        sums = torch.bincount(place, weights=values, minlength=size)
        return sums.double().view(shape)  # bincount of nothing gives integers
    return values.new_zeros(size).index_add(0, place, values).cpu().view(shape)
