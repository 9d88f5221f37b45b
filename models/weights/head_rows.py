"""Rows of the detection head that two networks of different classes have in common.

Legend: A anchors per cell, C classes of the network, K classes of the weights, R rows per anchor
before those of the classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.detector import Detector

NEW_ROW_STD = 0.01
"""Of the weights of new classes (Lin et al., arXiv 1708.02002, section 4.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadRows:
    """Which rows of the head in the weights go where in the head of the network.

    num_anchors: A of the network. other_rows: R. offered_classes: K, or None where the weights name
    no classes. pairs: (class in the weights, class in the network) of every class both know. names:
    what those classes are called. same_classes: a tensor of equal shape fits as a whole.
    """

    num_anchors: int
    other_rows: int
    offered_classes: int | None
    pairs: tuple[tuple[int, int], ...]
    names: tuple[str, ...]
    same_classes: bool

    def misfit(self, own: Tensor, offered: Tensor) -> str | None:
        """Return why no row of `offered` (A (R + K), ...) fits `own` (A (R + C), ...), or None."""
        if own.shape[1:] != offered.shape[1:]:
            return "the levels have other channels"
        known, anchors = self.offered_classes, self.num_anchors
        if known is None:
            rows, rest = divmod(len(offered), anchors)
            return "the layout of its rows is not known" if rest or rows < self.other_rows else None
        offered_anchors, rest = divmod(len(offered), self.other_rows + known)
        if rest:
            return "the layout of its rows is not known"
        if offered_anchors != anchors:
            return f"{offered_anchors} anchors a level in the weights, {anchors} in the network"
        return None

    @torch.no_grad()
    def copy(self, own: Tensor, offered: Tensor) -> None:
        """Copy the common rows of `offered` (A (R + K), ...) into `own` (A (R + C), ...).

        Weights of the other classes become small (`NEW_ROW_STD`): the features they read are of
        another size than those their start values were drawn for, and the scores are to start at
        the prior that the biases state.
        """
        target = own.unflatten(0, (self.num_anchors, -1))
        source = offered.to(own.dtype).unflatten(0, (self.num_anchors, -1))
        target[:, : self.other_rows] = source[:, : self.other_rows]
        for theirs, ours in self.pairs:
            target[:, self.other_rows + ours] = source[:, self.other_rows + theirs]
        known = {self.other_rows + ours for _, ours in self.pairs}
        new = [row for row in range(self.other_rows, target.shape[1]) if row not in known]
        if own.ndim > 1 and new:
            drawn = target[:, new]
            target[:, new] = drawn * (NEW_ROW_STD / drawn.std(correction=0).clamp(min=NEW_ROW_STD))


def common_rows(
    detector: Detector, own: Sequence[str] | None, offered: Sequence[str] | None
) -> dict[str, HeadRows]:
    """Return how heads of two lists of classes go together, by entry with rows per class.

    Case and surrounding spaces of names do not count; of equal names the first one does. Nothing
    is returned where the network's own classes are not known.

    Args:
        detector: the network.
        own: classes of the network.
        offered: classes of the weights, None where they do not say.
    """
    if own is None:
        return {}
    theirs, ours = _plain(offered or ()), _plain(own)
    places = {name: index for index, name in reversed(list(enumerate(theirs)))}
    found = [(places[name], index) for index, name in enumerate(ours) if name in places]
    prefix = f"model.{len(detector.model) - 1}."
    return {
        prefix + name: HeadRows(
            num_anchors=rows.groups,
            other_rows=rows.others,
            offered_classes=None if offered is None else len(offered),
            pairs=tuple(found),
            names=tuple(own[index] for _, index in found),
            same_classes=offered is None or theirs == ours,
        )
        for name, rows in detector.head.class_rows().items()
    }


def _plain(names: Sequence[str]) -> list[str]:
    return [name.strip().casefold() for name in names]
