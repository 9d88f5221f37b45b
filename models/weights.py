"""Tensors into a detector, and a detector to and from the contents of a checkpoint.

Reading and writing files is `utils/checkpoint`; here weights are a mapping from name to tensor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from configs.errors import ConfigError
from models.detector import Detector, build_detector

FORMAT_VERSION = 1
SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferReport:
    """What `transfer` did.

    taken: names of entries that were copied. left: (name, why) of those offered but not used.
    missing: names of the detector's entries that kept their values.
    """

    taken: tuple[str, ...]
    left: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]

    def summary(self) -> str:
        """Return a few lines for the screen: how many were taken, which were not and why."""
        total = len(self.taken) + len(self.missing)
        lines = [f"{len(self.taken)} of {total} tensors taken from the weights"]
        lines += [f"  left: {name}: {why}" for name, why in self.left[:SHOWN_NAMES]]
        if len(self.left) > SHOWN_NAMES:
            lines.append(f"  left: {len(self.left) - SHOWN_NAMES} more")
        return "\n".join(lines)


@torch.no_grad()
def transfer(
    detector: Detector, tensors: Mapping[str, Tensor], *, keep_anchors: bool = False
) -> TransferReport:
    """Copy every tensor whose name and shape fit into `detector`, in place.

    Half-precision values become the detector's precision. Entries `*.anchor_grid` of old files
    carry nothing new and are left.

    Args:
        detector: gets the values.
        tensors: entries named as in `detector.state_dict()`.
        keep_anchors: keep the detector's own anchors, because the user stated or fitted them.
    """
    own = detector.state_dict()
    taken: list[str] = []
    left: list[tuple[str, str]] = []
    for name, tensor in tensors.items():
        why = _misfit(name, tensor, own.get(name), keep_anchors)
        if why is not None:
            left.append((name, why))
            continue
        own[name].copy_(tensor)
        taken.append(name)
    missing = tuple(name for name in own if name not in set(taken))
    return TransferReport(taken=tuple(taken), left=tuple(left), missing=missing)


def _misfit(name: str, tensor: Tensor, own: Tensor | None, keep_anchors: bool) -> str | None:
    """Return why a tensor cannot be used, or None if it can."""
    if name.endswith(".anchor_grid"):
        return "follows from the anchors"
    if own is None:
        return "the network has no such tensor"
    if tensor.shape != own.shape:
        return f"shape {tuple(tensor.shape)} in the weights, {tuple(own.shape)} in the network"
    if keep_anchors and name.endswith(".anchors"):
        return "the network keeps its own anchors"
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        return "holds NaN or infinity"
    return None


def checkpoint_metadata(
    detector: Detector,
    class_names: Sequence[str],
    image_size: int,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return what a checkpoint says beside its tensors; plain JSON values.

    Args:
        detector: the network the tensors belong to.
        class_names: names in order of class index.
        image_size: side of the training images in pixels.
        extra: further keys, such as the resolved configuration; may not replace those here.

    Raises:
        ValueError: the names do not match the detector's classes, or `extra` replaces a key.
    """
    if len(class_names) != detector.num_classes:
        raise ValueError(
            f"{len(class_names)} class names for a detector of {detector.num_classes} classes"
        )
    metadata: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "graph": dict(detector.mapping),
        "class_names": list(class_names),
        "anchors": detector.anchors.flatten(1).tolist(),
        "strides": list(detector.strides),
        "image_size": image_size,
    }
    taken = sorted(metadata.keys() & (extra or {}).keys())
    if taken:
        raise ValueError(f"extra metadata may not replace {', '.join(taken)}")
    return {**metadata, **(extra or {})}


def detector_from_checkpoint(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], *, source: str = "checkpoint"
) -> Detector:
    """Return the detector of a checkpoint, every tensor in place, in evaluation mode.

    Args:
        tensors: all entries of the detector's state.
        metadata: as `checkpoint_metadata` made it.
        source: name of the file, for messages.

    Raises:
        ConfigError: a key is missing, the format is newer than this program, or tensors do not fit.
    """
    _check_metadata(metadata, source)
    detector = build_detector(
        metadata["graph"],
        num_classes=len(metadata["class_names"]),
        anchors=metadata["anchors"],
        source=source,
    )
    report = transfer(detector, tensors)
    if report.missing:
        left = dict(report.left)
        name = report.missing[0]
        why = left.get(name, "it is not in the file")
        raise ConfigError(
            f"{source}: {len(report.missing)} tensors of the network are not usable, "
            f"first {name}: {why}; the file is damaged or was edited"
        )
    return detector.eval()


def _check_metadata(metadata: Mapping[str, Any], source: str) -> None:
    for key in ("format_version", "graph", "class_names", "anchors"):
        if key not in metadata:
            raise ConfigError(f"{source}: metadata has no '{key}'; not weights of this program")
    if metadata["format_version"] != FORMAT_VERSION:
        raise ConfigError(
            f"{source}: format version {metadata['format_version']}, this program reads "
            f"{FORMAT_VERSION}; use a newer version of it"
        )


def check_class_names(
    weights_names: Sequence[str], data_names: Sequence[str], *, source: str
) -> None:
    """Raise ConfigError unless weights can be judged on data: the same classes in the same order.

    Args:
        weights_names: class names of the weights.
        data_names: class names of the data.
        source: name of the weights' file, for the message.
    """
    if list(weights_names) == list(data_names):
        return
    raise ConfigError(
        f"{source}: weights of {_shown(weights_names)}, but the data has {_shown(data_names)}; "
        "use data with the same class_names in the same order, or train on this data first"
    )


def _shown(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > SHOWN_NAMES else ""
    noun = "class" if len(names) == 1 else "classes"
    return f"{len(names)} {noun} ({', '.join(names[:SHOWN_NAMES])}{more})"
