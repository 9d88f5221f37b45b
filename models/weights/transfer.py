"""Tensors of other weights into a detector, by name, shape and class.

Weights are a mapping from name to tensor; where they come from is `utils/checkpoint`.
Legend: A anchors per cell, C classes of the network, K classes of the weights, R rows per anchor
before those of the classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.detector import Detector
from models.weights.resnet import for_plain_pixels, renamed_resnet

SHOWN_NAMES = 5
KINDS = {
    True: frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16}),
}
KINDS[False] = KINDS[True] | {torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8}
"""Types that values may have: of a tensor of the network that is floating, or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """What `transfer` did.

    taken: names of entries that were copied. left: (name, why) of those offered but not used.
    missing: names of the detector's entries that kept their values. partly: names of head entries
    of which only some rows were copied. classes: names of the classes whose rows were among them,
    of num_classes that the detector has.
    """

    taken: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    partly: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    num_classes: int = 0

    @property
    def fresh(self) -> frozenset[str]:
        """Names of the detector's entries that contain values the weights did not give."""
        return frozenset((*self.missing, *self.partly))

    def summary(self) -> str:
        """Return a few lines for the screen: how many were taken, which were not and why."""
        total = len(self.taken) + len(self.partly) + len(self.missing)
        lines = [f"{len(self.taken)} of {total} tensors taken from the weights"]
        if self.partly:
            known = f": {shorten(self.classes)}" if self.classes else ""
            lines.append(
                f"  detection head: box weights taken, objectness too where there is any; "
                f"class weights for {len(self.classes)} of {self.num_classes} classes{known}"
            )
        lines += [f"  skipped: {name}: {why}" for name, why in self.left[:SHOWN_NAMES]]
        if len(self.left) > SHOWN_NAMES:
            lines.append(f"  skipped: {len(self.left) - SHOWN_NAMES} more")
        return "\n".join(lines)


@torch.no_grad()
def transfer(
    detector: Detector,
    tensors: Mapping[str, Tensor],
    *,
    keep_anchors: bool = False,
    class_names: Sequence[str] | None = None,
    offered_names: Sequence[str] | None = None,
) -> TransferReport:
    """Copy every tensor whose name and shape fit into `detector`, in place.

    Where the classes differ, the head gets the rows that both have: box and objectness, and the
    classes of equal name. Half-precision values become the detector's precision. Entries
    `*.anchor_grid` of old files carry nothing new and are left.

    Args:
        detector: gets the values.
        tensors: entries named as in `detector.state_dict()`, or as torchvision names its ResNets.
        keep_anchors: keep the detector's own anchors, because the user set or fitted them.
        class_names: the detector's classes; None takes the head whole or not at all.
        offered_names: classes of the weights, None where they do not say.
    """
    head = common_rows(detector, class_names, offered_names)
    own = detector.state_dict()
    tensors = renamed_resnet(for_plain_pixels(tensors), detector.graph)
    taken: list[str] = []
    partly: list[str] = []
    left: list[tuple[str, str]] = []
    for name, tensor in tensors.items():
        why = _unusable(name, tensor, own, keep_anchors)
        rows = head.get(name)
        if why is None and _is_whole(tensor, own[name], rows):
            own[name].copy_(tensor)
            taken.append(name)
        elif why := why or _misfit(tensor, own[name], rows):
            left.append((name, why))
        elif rows is not None:
            rows.copy(own[name], tensor)
            partly.append(name)
    used = {*taken, *partly}
    return TransferReport(
        taken=tuple(taken),
        left=tuple(left),
        missing=tuple(name for name in own if name not in used),
        partly=tuple(partly),
        classes=head[partly[0]].names if partly else (),
        num_classes=detector.num_classes,
    )


def _unusable(
    name: str, tensor: Tensor, own: Mapping[str, Tensor], keep_anchors: bool
) -> str | None:
    """Return why a tensor (any shape) cannot be used in any shape, or None."""
    if name.endswith(".anchor_grid"):
        return "follows from the anchors"
    if name not in own:
        return f"the network has no such tensor; shape {tuple(tensor.shape)}"
    if keep_anchors and name.endswith(".anchors") and tensor.shape == own[name].shape:
        return "the network keeps its own anchors"
    if tensor.dtype not in KINDS[own[name].is_floating_point()]:
        return f"holds {tensor.dtype}, the network {own[name].dtype}"
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor.float()).all()):
        return "holds NaN or infinity"
    if name.endswith(".running_var") and bool((tensor < 0).any()):
        return "holds variances below 0"
    return None


def _is_whole(tensor: Tensor, own: Tensor, rows: "HeadRows | None") -> bool:
    """Tell whether a tensor (any shape) can be taken as it is."""
    return tensor.shape == own.shape and (rows is None or rows.same_classes)


def _misfit(tensor: Tensor, own: Tensor, rows: "HeadRows | None") -> str | None:
    """Return why not even some rows of a tensor (any shape) can be used, or None if they can."""
    shapes = f"shape {tuple(tensor.shape)} in the weights, {tuple(own.shape)} in the network"
    if rows is None:
        return shapes
    why = rows.misfit(own, tensor)
    return None if why is None else f"{shapes}: {why}"


def shorten(names: Sequence[str]) -> str:
    """Return the first names of a list, with dots where there are more."""
    more = ", ..." if len(names) > SHOWN_NAMES else ""
    return ", ".join(names[:SHOWN_NAMES]) + more


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
