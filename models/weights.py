"""A detector to and from the contents of a checkpoint.

Reading and writing files is `utils/checkpoint`; here weights are a mapping from name to tensor.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from configs.errors import ConfigError
from models.detector import Detector, build_detector
from models.transfer import shorten, transfer

FORMAT_VERSION = 1


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
    noun = "class" if len(names) == 1 else "classes"
    return f"{len(names)} {noun} ({shorten(names)})"
