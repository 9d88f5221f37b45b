"""Reads foreign PyTorch checkpoints (.pt, .pth, .ckpt) without executing what they contain.

Covers zip files as `torch.save` writes them since 1.6: whole pickled modules (as YOLOv5 releases
them), training checkpoints of several projects, plain state dicts. The pickle is interpreted by
`pickle_machine.py`; module classes become records whose parameters and buffers are collected by
name.
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
from utils.runtime.files.regular_file import open_regular
from utils.runtime.printable import shortened

FOREIGN_SUFFIXES = frozenset({".pt", ".pth", ".ckpt"})
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
SETTING_PREFIXES = (
    "mmengine.", "mmdet.", "mmcv.", "omegaconf.", "lightning.", "pytorch_lightning.", "yolo.",
)  # fmt: skip
"""Classes of histories and settings that trainers store beside their weights; nobody reads them."""
INERT = frozenset(
    {
        "collections.OrderedDict", "__builtin__.set", "builtins.set", "_codecs.encode",
        "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_parameter", "torch.Size",
        "torch.device", "numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar", "pathlib.PosixPath", "pathlib.WindowsPath",
        "datetime.datetime", "collections.defaultdict", "typing.Any", "builtins.getattr",
        "__builtin__.getattr", *(
            f"{module}.{kind}" for module in ("builtins", "__builtin__")
            for kind in ("bool", "dict", "float", "int", "list", "long", "str", "tuple", "unicode")
        ),
    }
)  # fmt: skip
"""Harmless things that released and fine-tuned checkpoints name; none of them is called."""
MAX_PICKLE_BYTES = 64 * 2**20
MAX_NESTING = 64
"""Modules within modules."""
LONGEST_NAME = 1000
MOST_COPIES = 4
"""How often a tensor may be described before the file asks for more memory than it is worth."""
SPARE_BYTES = 2**20
MAX_DIMENSIONS = 8
_DAMAGE = (
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""What zipfile raises for damaged directories, encryption and sizes beyond the file, and what torch
and Python raise for descriptions without sense."""


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
    source = shortened(path)
    try:
        with open_regular(path) as file, zipfile.ZipFile(file) as archive:
            root = _TorchArchive(archive, source).load()
            return _interpret(root, source, _Budget(source, path.stat().st_size))
    except zipfile.BadZipFile as error:
        raise UserError(
            f"{source} is not a PyTorch zip checkpoint ({shortened(error)}); files written before "
            "torch 1.6 have to be saved again with a newer torch"
        ) from error
    except (OSError, EOFError, NotImplementedError) as error:
        raise UserError(f"{source} cannot be read: {shortened(error)}") from error
    except _DAMAGE as error:
        reason = f"{type(error).__name__}: {shortened(error)}"
        raise UserError(f"{source} is damaged ({reason})") from error


class _Budget:
    """What the tensors and names of one file may take together."""

    def __init__(self, source: str, file_bytes: int) -> None:
        self._source = source
        self._left = MOST_COPIES * file_bytes + SPARE_BYTES

    def take(self, num_bytes: int) -> None:
        """Raise PickleError where a file describes more than it can hold."""
        self._left -= num_bytes
        if self._left < 0:
            raise PickleError(f"{self._source}: its tensors overlap and are larger than the file")


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
                raise PickleError(
                    f"{self._source}: unknown reference, a {type(identifier).__name__}"
                )
        dtype = DTYPES.get(kind)
        if dtype is None or count < 0:
            raise PickleError(f"{self._source}: storage {shortened(kind)} is not known")
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
    return name in INERT or (
        name.startswith((*MODULE_PREFIXES, *SETTING_PREFIXES)) and found.name[:1].isupper()
    )


def _tensor(call: Call, source: str, budget: _Budget) -> Tensor | None:
    """Return the tensor a recorded rebuild call describes, None if it describes something else."""
    for _ in range(2):  # a parameter is a call around that of its tensor
        match call:
            case Call(function=Global(name="_rebuild_parameter"), arguments=(Call() as inner, *_)):
                call = inner
    match call:
        case Call(
            function=Global(name="_rebuild_tensor_v2"),
            arguments=(Tensor() as storage, int(offset), tuple(shape), tuple(stride), *_),
        ):
            return _view(storage, (offset, shape, stride), source, budget)
    return None


def _view(
    storage: Tensor,
    place: tuple[int, tuple[Any, ...], tuple[Any, ...]],
    source: str,
    budget: _Budget,
) -> Tensor:
    offset, shape, stride = place
    if len(shape) > MAX_DIMENSIONS or len(stride) > MAX_DIMENSIONS:
        raise PickleError(f"{source}: a tensor has more than {MAX_DIMENSIONS} dimensions")
    numbers = (offset, *shape, *stride)
    whole = all(type(n) is int and 0 <= n < 2**40 for n in numbers) and len(shape) == len(stride)
    if not whole:
        raise PickleError(f"{source}: a tensor has a shape or strides that none can have")
    last = offset + sum((n - 1) * s for n, s in zip(shape, stride, strict=True))
    # Overlapping strides could claim far more elements than the file holds.
    if math.prod(shape) > storage.numel() or (math.prod(shape) and last >= storage.numel()):
        raise PickleError(f"{source}: a tensor of shape {shape} does not fit its storage")
    budget.take(math.prod(shape) * storage.element_size())
    return storage.as_strided(shape, stride, offset).contiguous()


def _interpret(root: Any, source: str, budget: _Budget) -> ForeignCheckpoint:
    names = _stated_names(root)
    for entry in ("ema", "ema_state_dict", "model", "state_dict", "model_state_dict"):
        value = _as_mapping(root).get(entry)
        if value is not None and not isinstance(value, int | float | str):
            return _from_entry(value, entry, names, (source, budget))
    return _from_entry(root, "file", names, (source, budget))


def _stated_names(root: Any) -> tuple[str, ...] | None:
    """Return the class names that mmengine keeps beside a state dict."""
    meta = _as_mapping(_as_mapping(root).get("meta"))
    data = _as_mapping(meta.get("dataset_meta"))
    return _class_names(data.get("classes") or data.get("CLASSES") or meta.get("CLASSES"))


def _from_entry(
    value: Any, entry: str, names: tuple[str, ...] | None, file: tuple[str, _Budget]
) -> ForeignCheckpoint:
    source, budget = file
    tensors = dict(_named_tensors(value, source, budget))
    if not tensors:
        raise UserError(f"{source}: no tensors found in its entry '{entry}'")
    attributes = _as_mapping(value.state) if isinstance(value, Call) else {}
    graph = _as_mapping(attributes.get("yaml"))
    return ForeignCheckpoint(
        tensors=tensors,
        class_names=_class_names(attributes.get("names")) or names,
        graph=graph if {"backbone", "head"} <= set(graph) else None,
        entry=entry,
    )


def _class_names(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, dict) and all(index in value for index in range(len(value))):
        value = [value[index] for index in range(len(value))]
    if isinstance(value, list | tuple) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    return None


def _as_mapping(value: Any) -> dict[Any, Any]:
    """Return the dictionary behind a plain dict or a recorded OrderedDict, else an empty one."""
    if isinstance(value, Call) and value.function == Global("collections", "OrderedDict"):
        return value.items
    return value if isinstance(value, dict) else {}


def _named_tensors(root: Any, source: str, budget: _Budget) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a state dict or of a recorded module, named as torch names them.

    Each recorded module is entered once: a file may refer to one object from many places.
    """
    pending: list[tuple[str, Any, int]] = [("", root, 0)]
    entered: set[int] = set()
    while pending:
        prefix, value, depth = pending.pop()
        if len(prefix) > LONGEST_NAME or depth > MAX_NESTING:
            raise PickleError(f"{source}: a name is longer or deeper nested than any network has")
        if isinstance(value, Call) and (tensor := _tensor(value, source, budget)) is not None:
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
            (f"{prefix}{name[: LONGEST_NAME + 1]}.", child, depth + 1)
            for name, child in reversed(children.items())
            if isinstance(name, str) and isinstance(child, Call | dict)
        ]
