"""A batch that went wrong, with the network it met, to be looked at again."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from utils.checkpoint.tensor_file import format_tensor_file, read_tensor_file
from utils.checkpoint.tree import flatten, unflatten
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_atomically
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageMeta

KIND = "batch to replay"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One batch, the iteration it belongs to (from 0) and the states it met."""

    batch: Batch
    iteration: int
    model: Mapping[str, Tensor]
    criterion: Mapping[str, Tensor]


def save_replay(path: Path, replay: Replay) -> None:
    """Write a replay; its folder is created.

    Raises:
        UserError: not writable or full.
    """
    targets = replay.batch.targets
    values, tensors = flatten(
        {
            "iteration": replay.iteration,
            "images": replay.batch.images,
            "targets": [targets.boxes, targets.labels, targets.image_index],
            "metas": [asdict(meta) for meta in replay.batch.metas],
            "model": dict(replay.model),
            "criterion": dict(replay.criterion),
        }
    )
    header = {"kind": KIND, "format_version": FORMAT_VERSION, "values": values}
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    write_atomically(path, format_tensor_file(tensors, header))


def load_replay(path: Path) -> Replay:
    """Return what `save_replay` wrote.

    Raises:
        UserError: missing, damaged, or another kind of file.
    """
    tensors, header = read_tensor_file(path)
    if header.get("kind") != KIND or header.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path} is no batch to replay (version {FORMAT_VERSION})")
    content: dict[str, Any] = unflatten(header["values"], tensors)
    boxes, labels, image_index = content["targets"]
    return Replay(
        batch=Batch(
            images=content["images"],
            targets=Targets(boxes=boxes, labels=labels, image_index=image_index),
            metas=tuple(ImageMeta(**meta) for meta in content["metas"]),
        ),
        iteration=content["iteration"],
        model=content["model"],
        criterion=content["criterion"],
    )
