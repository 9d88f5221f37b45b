"""The training loss on the images of an evaluation, measured beside it and without touching it."""

from math import fsum

import torch
from torch import Tensor

from models.distributed import without_other_ranks
from models.losses import DetectionCriterion
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.structures.batch import Targets
from utils.structures.predictions import Predictions


class ValidationLoss:
    """Means over images of the terms of a criterion in evaluation mode.

    A batch is computed as one of training is, in float32 and without gradient: no running count of
    the criterion changes, no random number is drawn. Each of `ranks` computes the batches it has,
    which are not those of the others, without them; the means are over the images of all.
    """

    def __init__(self, criterion: DetectionCriterion, ranks: Ranks = ALONE) -> None:
        self._criterion = criterion
        self._ranks = ranks
        self._names: tuple[str, ...] = ()
        self._rows: list[Tensor] = []
        self._images: list[int] = []

    def reset(self) -> None:
        """Forget all batches."""
        self._rows, self._images = [], []

    @torch.no_grad()
    def add(self, predictions: Predictions, targets: Targets) -> None:
        """Compute the terms of a batch of predictions (B, A, H, W, K) and T targets; T may be 0.

        The device is not waited for.
        """
        criterion = self._criterion
        was_training = criterion.training
        criterion.eval()
        try:
            with without_other_ranks():
                terms = criterion(predictions, targets)
        finally:
            criterion.train(was_training)
        self._names = terms.names
        self._rows.append(torch.stack([value.float() for value in terms.values]))
        self._images.append(terms.batch_size)

    def means(self) -> dict[str, float]:
        """Return each term, averaged over the images of all ranks, equal however these share the
        batches; empty without images. Every rank calls it.
        """
        rows = torch.stack(self._rows).double().tolist() if self._rows else []
        parts = self._ranks.gather((self._names, self._images, rows))
        names = next((names for names, _, _ in parts if names), ())
        images = [number for _, own, _ in parts for number in own]
        columns = zip(*(row for _, _, own in parts for row in own), strict=True)
        return {
            # An exact sum depends on no order.
            name: fsum(v * n for v, n in zip(values, images, strict=True)) / sum(images)
            for name, values in zip(names, columns, strict=True)
        }
