"""Weights files: one safetensors file with metadata and a checksum over all it holds.

Nothing in it is ever executed. The metadata are one JSON text under one key: safetensors orders
several keys at random, and equal content shall give equal files.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as format_tensors
from torch import Tensor

from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_atomically
from utils.runtime.files.json_file import BrokenJsonError, parse_json
from utils.runtime.files.regular_file import LARGEST_FILE, read_regular
from utils.runtime.printable import shortened

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
    """Return the tensors and the metadata of a file of `save_weights`.

    The tensors are on the CPU, in the order of their names.

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


HEADER_KEY = "focaldet"
LONGEST_HEADER = 100_000_000
"""Bytes, as the format itself has it."""
LENGTH_BYTES = 8
"""A safetensors file starts with the length of its JSON header, little-endian."""


class DamagedFileError(UserError):
    """A file that is damaged."""


def format_tensor_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    """Return the file's bytes: dense copies of `tensors` (any shape and dtype) with `metadata`.

    Names of one and the same tensor are stored once and shared again when read. Equal content
    gives equal bytes. `metadata` must be JSON without NaN.
    """
    unique, aliases = _split_aliases(tensors)
    dense = _dense_copies(unique)
    header: dict[str, Any] = {"aliases": aliases, "metadata": metadata}
    header["checksum"] = _checksum(dense, header)
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    return format_tensors(dense, metadata={HEADER_KEY: text})


def read_tensor_file(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and the metadata of a file of `format_tensor_file`.

    The tensors are on the CPU, in the order of their names.

    Raises:
        DamagedFileError: cut short, a bit flipped, or not a file of this program.
        UserError: cannot be read.
    """
    data = read_regular(path, limit=LARGEST_FILE)
    try:
        length = int.from_bytes(data[:LENGTH_BYTES], "little")
        if length > LONGEST_HEADER:
            raise ValueError(f"a header of {length} bytes")
        raw = parse_json(data[LENGTH_BYTES : LENGTH_BYTES + length], source=path)
        header = parse_json(raw["__metadata__"][HEADER_KEY], source=path)
        checksum = header.pop("checksum")
        aliases, metadata = header["aliases"], header["metadata"]
        tensors = parse_tensors(data)
        tensors.update({alias: tensors[name] for alias, name in aliases.items()})
        unique = {name: tensor for name, tensor in tensors.items() if name not in aliases}
        own_checksum = _checksum(unique, header)
        if not isinstance(metadata, dict):
            raise TypeError(f"metadata is a {type(metadata).__name__}")
    except (
        BrokenJsonError,
        SafetensorError,
        RuntimeError,
        OverflowError,
        MemoryError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise DamagedFileError(
            f"{path} is not a whole safetensors file of this program "
            f"({type(error).__name__}: {shortened(error, 120)})"
        ) from error
    if checksum != own_checksum:
        raise DamagedFileError(f"{path} is damaged: its content does not match its checksum")
    return dict(sorted(tensors.items())), metadata  # safetensors' own order changes by the process


def weights_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and values of tensors, on any device.

    It is that of the values alone; a file's checksum counts its metadata, too.
    """
    digest = hashlib.sha256()
    _add(digest, {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    return digest.hexdigest()


def _split_aliases(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    first: dict[tuple[Any, ...], str] = {}
    unique: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        identity = (
            tensor.device,
            tensor.data_ptr() if tensor.numel() else id(tensor),
            tensor.dtype,
            tensor.shape,
            tensor.stride(),
        )
        owner = first.setdefault(identity, name)
        if owner == name:
            unique[name] = tensor
        else:
            aliases[name] = owner
    return unique, aliases


def _dense_copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return row-major CPU tensors, no two of which overlap: safetensors refuses both."""
    dense: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, tensor in tensors.items():
        copy = tensor.detach().cpu().contiguous(memory_format=torch.contiguous_format)
        if copy.untyped_storage().data_ptr() in storages:
            copy = copy.clone()
        storages.add(copy.untyped_storage().data_ptr())
        dense[name] = copy
    return dense


def _checksum(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, allow_nan=False).encode())
    _add(digest, tensors)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", tensors: Mapping[str, Tensor]) -> None:
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
