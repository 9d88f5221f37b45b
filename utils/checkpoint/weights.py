"""Weights files: one safetensors file with metadata that describe it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.checkpoint.tensor_file import format_tensor_file, read_tensor_file
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_atomically

FORMAT_VERSION = 1


def save_weights(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors (any shape) and JSON metadata; floating tensors become float32.

    The file is replaced atomically: after a crash `path` is the old file or the whole new one.

    Raises:
        UserError: the folder is not writable or full; an old file is untouched.
    """
    single = {
        name: tensor.to(torch.float32) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    header = {"kind": "weights", "format_version": FORMAT_VERSION, "content": dict(metadata)}
    write_atomically(path, format_tensor_file(single, header))


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the metadata of a file of `save_weights`.

    Raises:
        UserError: missing, damaged, not of this program, or of a newer version of it.
    """
    tensors, header = read_tensor_file(path)
    if header.get("kind") != "weights":
        raise UserError(f"{path} holds no weights but a {header.get('kind')}")
    version = header.get("format_version")
    if version != FORMAT_VERSION:
        is_newer = isinstance(version, int) and version > FORMAT_VERSION
        remedy = "update this program" if is_newer else "train or convert the weights again"
        raise UserError(
            f"{path} has layout version {version}, this program reads {FORMAT_VERSION}; {remedy}"
        )
    content = header.get("content")
    if not isinstance(content, dict):
        raise UserError(
            f"{path} says nothing of its weights but a {type(content).__name__}; "
            "train or convert the weights again"
        )
    return tensors, content
