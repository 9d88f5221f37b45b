"""Reads foreign PyTorch checkpoints (.pt, .pth) without executing what they contain.

Covers zip files as `torch.save` writes them since 1.6: whole pickled modules (as YOLOv5 releases
them), training checkpoints, plain state dicts. The pickle is interpreted by `pickle_machine.py`;
module classes become records whose parameters and buffers are collected by name.
"""

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.checkpoint.pickle_machine import Call, Global, PickleError, PickleMachine
from utils.runtime.errors import UserError

FOREIGN_SUFFIXES = frozenset({".pt", ".pth"})
DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
MODULE_PREFIXES = ("models.", "torch.nn.modules.", "ultralytics.nn.")
"""Classes of network parts; only their names and the tensors in them are read."""
INERT = frozenset(
    {
        "collections.OrderedDict", "__builtin__.set", "builtins.set", "_codecs.encode",
        "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "torch.Size",
        "torch.device", "numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar", "pathlib.PosixPath", "pathlib.WindowsPath",
        "datetime.datetime",
    }
)  # fmt: skip
"""Harmless things that released and fine-tuned checkpoints name; none of them is called."""
MAX_PICKLE_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignCheckpoint:
    """What a foreign file holds: tensors by name, and what it says about itself.

    class_names is None where the file names none; graph is the network's layer list where the file
    has it (YOLOv5 modules carry it); entry tells which part of the file was read.
    """

    tensors: dict[str, Tensor]
    class_names: tuple[str, ...] | None
    graph: Mapping[str, Any] | None
    entry: str


def read_torch_file(path: Path) -> ForeignCheckpoint:
    """Return the tensors of a foreign checkpoint; the EMA entry is preferred to the model's.

    Raises:
        UserError: not a torch zip file, damaged, or it names something that is refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            root = _TorchArchive(archive, str(path)).load()
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{path} is not a PyTorch zip checkpoint ({error}); files written before torch 1.6 "
            "have to be saved again with a newer torch"
        ) from error
    except (OSError, EOFError, NotImplementedError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    except (ValueError, RuntimeError, LookupError, struct.error, zlib.error) as error:
        # What zipfile raises for damaged directories, encryption and sizes beyond the file.
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error})") from error
    return _interpret(root, str(path))


class _TorchArchive:
    """One zip file: its pickle and its storages, read in memory only; names never become paths."""

    def __init__(self, archive: zipfile.ZipFile, source: str) -> None:
        self._archive = archive
        self._source = source
        pickles = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise UserError(f"{source} is not a PyTorch checkpoint: {len(pickles)} data.pkl inside")
        self._pickle = pickles[0]
        self._prefix = pickles[0][: -len("data.pkl")]
        self._storages: dict[str, Tensor] = {}

    def load(self) -> Any:
        machine = PickleMachine(allow=_is_allowed, persistent=self._storage, source=self._source)
        return machine.load(self._read(self._pickle, MAX_PICKLE_BYTES))

    def _read(self, name: str, limit: int) -> bytes:
        try:
            info = self._archive.getinfo(name)
        except KeyError as error:
            raise PickleError(f"{self._source}: {name} is missing in the file") from error
        # torch never compresses; a compressed entry can unpack to any size (zip bomb).
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > limit:
            raise PickleError(
                f"{self._source}: {name} is compressed or larger than its tensor ({info.file_size})"
            )
        return self._archive.read(info)

    def _storage(self, identifier: Any) -> Tensor:
        match identifier:
            case ("storage", Global(module="torch", name=kind), str(key), _, int(count)):
                pass
            case _:
                raise PickleError(f"{self._source}: unknown reference {str(identifier)[:80]}")
        dtype = DTYPES.get(kind)
        if dtype is None or count < 0:
            raise PickleError(f"{self._source}: storage {kind} of {count} elements is not known")
        if key not in self._storages:
            size = count * dtype.itemsize
            data = self._read(f"{self._prefix}data/{key}", limit=size)
            if len(data) != size:
                raise PickleError(
                    f"{self._source}: storage {key} has {len(data)} bytes, not {size}"
                )
            raw = torch.frombuffer(bytearray(data), dtype=dtype) if size else torch.empty(0)
            self._storages[key] = raw.to(dtype)
        return self._storages[key]


def _is_allowed(found: Global) -> bool:
    name = str(found)
    if "." in found.name or (name.startswith("torch.") and found.name in DTYPES):
        return "." not in found.name
    return name in INERT or (name.startswith(MODULE_PREFIXES) and found.name[:1].isupper())


def _tensor(call: Call, source: str) -> Tensor | None:
    """Return the tensor a recorded rebuild call describes, None if it describes something else."""
    match call:
        case Call(function=Global(name="_rebuild_parameter"), arguments=(Call() as inner, *_)):
            return _tensor(inner, source)
        case Call(
            function=Global(name="_rebuild_tensor_v2"),
            arguments=(Tensor() as storage, int(offset), tuple(shape), tuple(stride), *_),
        ):
            return _view(storage, offset, shape, stride, source)
    return None


def _view(
    storage: Tensor, offset: int, shape: tuple[Any, ...], stride: tuple[Any, ...], source: str
) -> Tensor:
    numbers = (offset, *shape, *stride)
    whole = all(type(n) is int and 0 <= n < 2**40 for n in numbers) and len(shape) == len(stride)
    if not whole or len(shape) > 8:
        raise PickleError(f"{source}: a tensor has shape {shape} and strides {stride}")
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    # Overlapping strides could claim far more elements than the file holds.
    if math.prod(shape) > storage.numel() or (math.prod(shape) and last >= storage.numel()):
        raise PickleError(f"{source}: a tensor of shape {shape} does not fit its storage")
    return storage.as_strided(shape, stride, offset).contiguous()


def _interpret(root: Any, source: str) -> ForeignCheckpoint:
    for entry in ("ema", "model", "state_dict", "model_state_dict"):
        value = _as_mapping(root).get(entry)
        if value is not None and not isinstance(value, int | float | str):
            return _from_entry(value, entry, source)
    return _from_entry(root, "file", source)


def _from_entry(value: Any, entry: str, source: str) -> ForeignCheckpoint:
    tensors = dict(_named_tensors(value, source))
    if not tensors:
        raise UserError(f"{source}: no tensors found in its entry '{entry}'")
    attributes = _as_mapping(value.state) if isinstance(value, Call) else {}
    graph = _as_mapping(attributes.get("yaml"))
    return ForeignCheckpoint(
        tensors=tensors,
        class_names=_class_names(attributes.get("names")),
        graph=graph if {"backbone", "head"} <= set(graph) else None,
        entry=entry,
    )


def _class_names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, dict) and sorted(value, key=str) == sorted(range(len(value)), key=str):
        value = [value[index] for index in range(len(value))]
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    return None


def _as_mapping(value: Any) -> dict[Any, Any]:
    """Return the dictionary behind a plain dict or a recorded OrderedDict, else an empty one."""
    if isinstance(value, Call) and value.function == Global("collections", "OrderedDict"):
        return value.items
    return value if isinstance(value, dict) else {}


def _named_tensors(root: Any, source: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a state dict or of a recorded module, named as torch names them.

    Each recorded module is entered once: a file may refer to one object from many places.
    """
    pending: list[tuple[str, Any]] = [("", root)]
    entered: set[int] = set()
    while pending:
        prefix, value = pending.pop()
        if isinstance(value, Call) and (tensor := _tensor(value, source)) is not None:
            yield prefix[:-1], tensor
            continue
        if id(value) in entered:
            continue
        entered.add(id(value))
        # A state dict is a recorded OrderedDict with items; a module has its parts in its state.
        children = dict(_as_mapping(value))
        if not children and isinstance(value, Call) and isinstance(value.state, dict):
            for group in ("_parameters", "_buffers", "_modules"):
                children.update(_as_mapping(value.state.get(group)))
        pending += [
            (f"{prefix}{name}.", child)
            for name, child in reversed(children.items())
            if isinstance(name, str) and isinstance(child, Call | dict)
        ]
