"""Tensors of other weights into a detector, by name and shape.

Weights are a mapping from name to tensor; where they come from is `utils/checkpoint`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.detector import Detector
from models.weights.head_rows import HeadRows, common_rows
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


def _is_whole(tensor: Tensor, own: Tensor, rows: HeadRows | None) -> bool:
    """Tell whether a tensor (any shape) can be taken as it is."""
    return tensor.shape == own.shape and (rows is None or rows.same_classes)


def _misfit(tensor: Tensor, own: Tensor, rows: HeadRows | None) -> str | None:
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
