"""Size of the gradient of each branch on its logits, the scale that focal loss changes."""

from dataclasses import replace

import torch

from models.losses.criterion.criterion import DetectionCriterion
from utils.structures.batch import Targets
from utils.structures.predictions import Predictions


def gradient_sizes(
    criterion: DetectionCriterion, predictions: Predictions, targets: Targets
) -> dict[str, float]:
    """Return the L1 norm of d term / d logits over all logits of a batch, by branch.

    Gains are applied, the batch size is not. Network and running averages of the criterion stay as
    they are.

    Returns:
        One number for each of the criterion's branches; 0 where the batch has no such term.
    """
    levels = tuple(level.detach().requires_grad_() for level in predictions.levels)
    was_training = criterion.training
    criterion.eval()
    try:
        with torch.enable_grad():
            terms = criterion(replace(predictions, levels=levels), targets)
            sizes = {}
            for name in criterion.branches:
                term = terms[name]
                slopes = (
                    torch.autograd.grad(term, levels, retain_graph=True, allow_unused=True)
                    if term.requires_grad
                    else ()
                )
                sizes[name] = sum(float(s.abs().sum()) for s in slopes if s is not None)
        return sizes
    finally:
        criterion.train(was_training)
