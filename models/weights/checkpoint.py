"""A detector to and from the contents of a checkpoint: its tensors, and what it says beside them.

Reading and writing files is `utils/checkpoint`; here weights are a mapping from name to tensor.

Version 1: graph, class_names, anchors, strides, image_size, and of a training run also config,
config_hash, data_fingerprint, category_ids, epoch, map50_95. Version 2 adds versions (of the
libraries), commit (of this program) and, in converted files, converted_from.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from configs.errors import ConfigError
from models.detector import Detector, build_detector
from models.limits import MAX_CLASSES
from models.weights.transfer import shorten, transfer
from utils.structures.score_calibrator import ScoreCalibrator


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


FORMAT_VERSION = 2
NOT_OURS = "not weights of this program"
MAX_DEPTH = 40
MAX_VALUES = 400_000
"""Numbers, texts and containers; those of 65,536 classes are 200,000."""
LARGEST_IMAGE = 8192
"""Pixels; as `train.image_size` may be."""
LONGEST_NAME = 10_000
SECTIONS = ("data", "model", "loss", "augment", "train", "eval", "run")


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
    anchors = [] if detector.anchors is None else detector.anchors.flatten(1).tolist()
    # Fitted anchors are the graph's own after a resume: the file shall not tell the difference.
    graph = {**detector.mapping, "anchors": anchors} if anchors else dict(detector.mapping)
    metadata: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "graph": graph,
        "class_names": list(class_names),
        "anchors": anchors,
        "strides": list(detector.strides),
        "image_size": image_size,
    }
    taken = sorted(metadata.keys() & (extra or {}).keys())
    if taken:
        raise ValueError(f"extra metadata may not replace {', '.join(taken)}")
    return {"versions": {}, "commit": None, **metadata, **(extra or {})}


def current_metadata(metadata: Mapping[str, Any], *, source: str) -> dict[str, Any]:
    """Return metadata of any version that is known as this version would have written it.

    Args:
        metadata: as a file holds it.
        source: name of the file, for messages.

    Raises:
        ConfigError: a key is missing or contains something else than it must, or the version is not
            known.
    """
    if not isinstance(metadata, Mapping):
        raise ConfigError(f"{source}: its metadata is a {type(metadata).__name__}; {NOT_OURS}")
    _check_text(metadata, source)
    current = dict(metadata)
    version = current.get("format_version")
    while type(version) is int and version in _UPGRADES:
        current = _UPGRADES[version](current)
        version = current["format_version"]
    if "format_version" not in current:
        raise ConfigError(
            f"{source}: metadata has no 'format_version'; not weights of this program"
        )
    if type(version) is not int or version != FORMAT_VERSION:
        is_newer = isinstance(version, int) and version > FORMAT_VERSION
        remedy = "update this program" if is_newer else "train or convert the weights again"
        raise ConfigError(
            f"{source}: format version {str(version)[:20]} cannot be read, this program reads "
            f"{min(_UPGRADES)} to {FORMAT_VERSION}; {remedy}"
        )
    _check_keys(current, source)
    return current


def _check_keys(current: Mapping[str, Any], source: str) -> None:
    for key, is_right in _REQUIRED.items():
        if key not in current:
            raise ConfigError(f"{source}: metadata has no '{key}'; not weights of this program")
        if not is_right(current[key]):
            raise ConfigError(f"{source}: metadata '{key}' is damaged: {str(current[key])[:60]}")
    for key, is_right in _OPTIONAL.items():
        if current.get(key) is not None and not is_right(current[key]):
            raise ConfigError(f"{source}: metadata '{key}' is damaged: {str(current[key])[:60]}")
    ids = current.get("category_ids")
    if ids and len(ids) != len(current["class_names"]):
        raise ConfigError(
            f"{source}: metadata has {len(ids)} category_ids for {len(current['class_names'])} "
            "classes"
        )


def _check_text(metadata: Mapping[str, Any], source: str) -> None:
    """Raise ConfigError for half characters and for numbers and nesting that no training makes."""
    level: list[Any] = [dict(metadata)]
    count = 0
    for _ in range(MAX_DEPTH):
        if not level:
            return
        count += len(level)
        if count > MAX_VALUES:
            raise ConfigError(f"{source}: its metadata hold more than {MAX_VALUES:,} values")
        for item in level:
            if isinstance(item, str) and not _is_whole(item):
                text = item[:60].encode("ascii", "backslashreplace").decode()
                raise ConfigError(f"{source}: its metadata hold a half character: {text}")
            if type(item) is int and abs(item) >= 2**63:
                bits = item.bit_length()
                raise ConfigError(f"{source}: its metadata hold a number of {bits} bits")
        level = [child for item in level if type(item) in (dict, list) for child in _children(item)]
    if level:
        raise ConfigError(f"{source}: its metadata are nested more than {MAX_DEPTH} deep")


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _children(item: Any) -> list[Any]:
    """Return what a dict or list of JSON holds."""
    return [*item.keys(), *item.values()] if type(item) is dict else item


def _from_version_1(metadata: dict[str, Any]) -> dict[str, Any]:
    """Say nothing of the libraries: version 1 did not note them."""
    return {**metadata, "format_version": 2, "versions": {}, "commit": None}


_UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _from_version_1}


def _is_names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MAX_CLASSES
        and all(isinstance(name, str) and len(name) <= LONGEST_NAME for name in value)
    )


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int for item in value)


def _is_configuration(value: Any) -> bool:
    """Tell whether a stored configuration has sections, each of which contains keys."""
    return isinstance(value, dict) and all(
        isinstance(value[name], dict) for name in SECTIONS if name in value
    )


def _is_anchors(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(level, list) and all(type(side) in (int, float) for side in level)
        for level in value
    )


_REQUIRED: Mapping[str, Callable[[Any], bool]] = {
    "graph": lambda value: isinstance(value, dict),
    "class_names": _is_names,
    "anchors": _is_anchors,
    "image_size": lambda value: type(value) is int and 0 < value <= LARGEST_IMAGE,
}
_OPTIONAL: Mapping[str, Callable[[Any], bool]] = {
    "config": _is_configuration,
    "category_ids": _is_ids,
    "config_hash": lambda value: isinstance(value, str),
    "data_fingerprint": lambda value: isinstance(value, str),
    "epoch": lambda value: type(value) is int,
}


METADATA_KEY = "score_map"
MAX_KNOTS = 1_000_000


def read_score_calibrator(metadata: Mapping[str, Any], *, source: str) -> ScoreCalibrator | None:
    """Return the map in the metadata of weights, None where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    stored = metadata.get(METADATA_KEY)
    if stored is None:
        return None
    try:
        calibrator = ScoreCalibrator(_numbers(stored["knots"]), _numbers(stored["values"]))
        if not calibrator.keeps_order:
            raise ValueError("a score map rises strictly, from score 0 to score 1")
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{source}: metadata '{METADATA_KEY}' is damaged: {error}") from error
    return calibrator


def _numbers(stored: Any) -> tuple[float, ...]:
    if not isinstance(stored, list) or not 2 <= len(stored) <= MAX_KNOTS:
        raise TypeError(f"a list of 2 to {MAX_KNOTS} numbers is expected")
    return tuple(map(float, stored))
