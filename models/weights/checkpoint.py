"""A detector to and from the contents of a checkpoint.

Reading and writing files is `utils/checkpoint`; here weights are a mapping from name to tensor.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from configs.errors import ConfigError
from models.detector import Detector, build_detector
from models.weights.metadata import checkpoint_metadata, current_metadata, read_score_calibrator
from models.weights.transfer import shorten, transfer

__all__ = ["check_class_names", "checkpoint_metadata", "detector_from_checkpoint"]


def detector_from_checkpoint(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], *, source: str = "checkpoint"
) -> Detector:
    """Return the detector of a checkpoint, every tensor in place, in evaluation mode.

    Args:
        tensors: all entries of the detector's state.
        metadata: as `checkpoint_metadata` made it, in this version or an earlier one.
        source: name of the file, for messages.

    Raises:
        ConfigError: the metadata are of no known version or damaged, or tensors do not fit.
    """
    metadata = current_metadata(metadata, source=source)
    detector = build_detector(
        metadata["graph"],
        num_classes=len(metadata["class_names"]),
        anchors=metadata["anchors"] or None,
        source=source,
        # The file decides of no more memory than it takes itself.
        max_parameters=sum(tensor.numel() for tensor in tensors.values()),
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
    detector.score_calibrator = read_score_calibrator(metadata, source=source)
    return detector.eval()


def check_class_names(
    weights_names: Sequence[str], data_names: Sequence[str], *, source: str
) -> None:
    """Raise ConfigError unless weights and data have the same classes in the same order.

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
