"""Foreign checkpoints: tensors come out, nothing goes off."""

import io
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from utils.checkpoint.pickle_machine import PickleMachine
from utils.checkpoint.torch_file import read_torch_file
from utils.runtime.errors import UserError


def write_archive(
    path: Path, data: bytes, storages: dict[str, bytes] | None = None, compress: bool = False
) -> Path:
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("archive/data.pkl", data)
        for key, content in (storages or {}).items():
            archive.writestr(f"archive/data/{key}", content)
    return path


def tensor_pickle(
    shape: tuple[int, ...], stride: tuple[int, ...], *, offset: int = 0, count: int = 4
) -> bytes:
    """Pickle of {"w": tensor} on the float storage "0" of `count` elements."""
    out = io.BytesIO()

    def integers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"J" + struct.pack("<i", v) for v in values) + b"t"

    out.write(b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(")
    out.write(b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000")
    out.write(b"X\x03\x00\x00\x00cpuJ" + struct.pack("<i", count) + b"tQ")
    out.write(b"J" + struct.pack("<i", offset) + integers(shape) + integers(stride))
    out.write(b"\x89}tRs.")
    return out.getvalue()


STORAGE = {"0": struct.pack("<4f", 1, 2, 3, 4)}


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model": s}, lambda s: {"state_dict": s}])
def test_plain_state_dict_comes_back(tmp_path: Path, wrap: Any) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    torch.save(wrap(module.state_dict()), tmp_path / "x.pt")
    read = read_torch_file(tmp_path / "x.pt")
    assert read.tensors.keys() == module.state_dict().keys()
    for name, tensor in module.state_dict().items():
        assert torch.equal(read.tensors[name], tensor), name


def test_whole_module_comes_back_in_order(tmp_path: Path) -> None:
    module = nn.Sequential(OrderedDict(a=nn.Conv2d(3, 4, 1), b=nn.Sequential(nn.BatchNorm2d(4))))
    module.names = ["cat", "dog"]  # type: ignore[assignment]
    torch.save({"model": module.half(), "epoch": -1, "optimizer": None}, tmp_path / "x.pt")
    read = read_torch_file(tmp_path / "x.pt")
    assert list(read.tensors) == list(module.state_dict())
    assert all(torch.equal(read.tensors[k], v) for k, v in module.state_dict().items())
    assert (read.entry, read.class_names) == ("model", ("cat", "dog"))


def test_average_is_preferred_to_model(tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.zeros(2)}, "ema": {"w": torch.ones(2)}}, tmp_path / "x.pt")
    assert torch.equal(read_torch_file(tmp_path / "x.pt").tensors["w"], torch.ones(2))


def test_views_transposes_and_empty_tensors(tmp_path: Path) -> None:
    base = torch.arange(12.0).view(3, 4)
    state = {"t": base.t(), "v": base[1:, 2:], "s": torch.tensor(3), "e": torch.zeros(0, 5)}
    torch.save(state, tmp_path / "x.pt")
    for name, tensor in read_torch_file(tmp_path / "x.pt").tensors.items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize("version", ["v6.0", "v7.0"])
def test_released_files(shared: Path, version: str) -> None:
    read = read_torch_file(shared / "weights" / f"yolov5n_{version}.pt")
    tensors = {k: v for k, v in read.tensors.items() if not k.endswith("anchor_grid")}
    assert len(tensors) == 349
    assert sum(v.numel() for k, v in tensors.items() if is_parameter(k)) == 1_872_157
    assert read.class_names is not None
    assert read.class_names[0] == "person"
    assert read.graph is not None
    assert read.graph["nc"] == 80


def is_parameter(name: str) -> bool:
    return not name.endswith(("running_mean", "running_var", "num_batches_tracked", ".anchors"))


class Bomb:
    """Calls something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def touch(path: str) -> None:
    Path(path).touch()


def bombs(marker: str) -> dict[str, bytes]:
    """Pickles that leave the file `marker` behind if anything in them is executed."""
    python = f"open({marker!r}, 'w').close()"
    calls: dict[str, tuple[str, str, tuple[Any, ...]]] = {
        "os.system": ("os", "system", (f"touch {marker}",)),
        "posix.system": ("posix", "system", (f"touch {marker}",)),
        "os.popen": ("os", "popen", (f"touch {marker}",)),
        "subprocess.call": ("subprocess", "call", (["touch", marker],)),
        "subprocess.Popen": ("subprocess", "Popen", (["touch", marker],)),
        "builtins.exec": ("builtins", "exec", (python,)),
        "builtins.eval": ("builtins", "eval", (python,)),
        "__builtin__.eval": ("__builtin__", "eval", (python,)),
        "builtins.open": ("builtins", "open", (marker, "w")),
        "builtins.getattr": ("builtins", "getattr", ("x", "upper")),
        "builtins.compile": ("builtins", "compile", (python, "x", "exec")),
        "builtins.__import__": ("builtins", "__import__", ("os",)),
        "io.open": ("io", "open", (marker, "w")),
        "pathlib.Path.touch": ("pathlib", "Path.touch", (Path(marker),)),
        "shutil.rmtree": ("shutil", "rmtree", (marker,)),
        "importlib.import_module": ("importlib", "import_module", ("os",)),
        "runpy.run_path": ("runpy", "run_path", (marker,)),
        "code.interact": ("code", "interact", ()),
        "pty.spawn": ("pty", "spawn", (["touch", marker],)),
        "webbrowser.open": ("webbrowser", "open", (marker,)),
        "torch.load": ("torch", "load", (marker,)),
        "torch.save": ("torch", "save", (1, marker)),
        "torch.hub.load": ("torch.hub", "load", ("a", "b")),
        "torch._utils._import_dotted_name": ("torch._utils", "_import_dotted_name", ("os",)),
        "torch.jit.load": ("torch.jit", "load", (marker,)),
        "torch.utils.cpp_extension.load": ("torch.utils.cpp_extension", "load", ("a", "b")),
        "torch.ops.load_library": ("torch.ops", "load_library", (marker,)),
        "torch.nn.modules.module.torch": ("torch.nn.modules.module", "torch.load", (marker,)),
        "torch.nn.modules.module.warnings": ("torch.nn.modules.module", "warnings", ()),
        "numpy.load": ("numpy", "load", (marker,)),
        "numpy.save": ("numpy", "save", (marker, 1)),
        "operator.attrgetter": ("operator", "attrgetter", ("system",)),
        "functools.partial": ("functools", "partial", (print,)),
        "pickle.loads": ("pickle", "loads", (b"N.",)),
        "ctypes.CDLL": ("ctypes", "CDLL", ("libc.so.6",)),
        "socket.create_connection": ("socket", "create_connection", (("127.0.0.1", 9),)),
        "models.common.run": ("models.common", "run", ()),
        "bytearray": ("builtins", "bytearray", (2**40,)),
    }
    return {name: call_pickle(*call) for name, call in calls.items()}


def call_pickle(module: str, name: str, arguments: tuple[Any, ...]) -> bytes:
    try:
        inner = pickle.dumps(arguments, protocol=2)[2:-1]
    except (pickle.PicklingError, AttributeError):
        inner = b")"
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + inner + b"R."


@pytest.mark.parametrize("name", bombs("x"))
def test_bombs_are_refused_by_name(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    path = write_archive(tmp_path / "bomb.pt", bombs(str(marker))[name])
    with pytest.raises(UserError, match=r"refused|damaged|not used|no tensors"):
        read_torch_file(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_real_bombs_of_every_protocol_are_refused(protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    bomb = {"model": {"w": Bomb(touch, str(marker))}}
    data = pickle.dumps(bomb, protocol=protocol)
    path = write_archive(tmp_path / "bomb.pt", data)
    with pytest.raises(UserError, match="touch, which has no place in a checkpoint"):
        read_torch_file(path)
    assert not marker.exists()
    pickle.loads(data)
    assert marker.exists(), "the bomb is a dud, so this test proves nothing"


def test_state_of_an_object_does_not_reach_a_setter(tmp_path: Path) -> None:
    """BUILD on a stand-in records the state; no __setstate__, no attribute is touched."""
    data = b"\x80\x02ctorch.nn.modules.module\nModule\n)\x81}X\x08\x00\x00\x00__dict__}sb."
    with pytest.raises(UserError, match="no tensors"):
        read_torch_file(write_archive(tmp_path / "x.pt", data))


@pytest.mark.parametrize(
    ("shape", "stride", "options"),
    [
        ((5,), (1,), {}),
        ((1000000, 1000000), (0, 0), {}),
        ((2, 2), (1, 3), {}),
        ((-1,), (1,), {}),
        ((2,), (-1,), {}),
        ((1,), (1,), {"offset": 4}),
        ((1,), (1,), {"offset": -1}),
        ((2,), (1, 1), {}),
        ((1,) * 9, (1,) * 9, {}),
        ((4,), (1,), {"count": 2**30}),
        ((4,), (1,), {"count": 3}),
        ((4,), (1,), {"count": -4}),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tmp_path: Path, shape: Any, stride: Any, options: Any
) -> None:
    path = write_archive(tmp_path / "x.pt", tensor_pickle(shape, stride, **options), STORAGE)
    with pytest.raises(UserError):
        read_torch_file(path)


def test_the_crafted_tensor_is_fine_when_it_fits(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "x.pt", tensor_pickle((2, 2), (2, 1)), STORAGE)
    assert read_torch_file(path).tensors["w"].tolist() == [[1, 2], [3, 4]]


def test_zip_bombs_are_refused(tmp_path: Path) -> None:
    storages = {"0": bytes(50_000_000)}
    data = tensor_pickle((4,), (1,))
    with pytest.raises(UserError, match="compressed or larger"):
        read_torch_file(write_archive(tmp_path / "a.pt", data, storages))
    with pytest.raises(UserError, match="compressed or larger"):
        read_torch_file(write_archive(tmp_path / "b.pt", data, STORAGE, compress=True))


def test_names_in_the_archive_never_become_paths(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.pt"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", tensor_pickle((4,), (1,)))
        archive.writestr("archive/data/0", STORAGE["0"])
        archive.writestr("../../escaped", b"x")
        archive.writestr("/absolute", b"x")
    read_torch_file(path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["deep", "x.pt"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"not a zip", pickle.dumps({"a": 1})])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(UserError, match="not a PyTorch"):
        read_torch_file(tmp_path / "x.pt")


@pytest.mark.slow
def test_deep_and_cyclic_structures_end(tmp_path: Path) -> None:
    deep = b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."
    cyclic = b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."
    for index, data in enumerate((deep, cyclic)):
        with pytest.raises(UserError, match="no tensors"):
            read_torch_file(write_archive(tmp_path / f"{index}.pt", data))


@pytest.mark.slow
def test_truncated_pickles_are_refused(tmp_path: Path) -> None:
    whole = tensor_pickle((2, 2), (2, 1))
    for end in range(len(whole)):
        with pytest.raises(UserError):
            read_torch_file(write_archive(tmp_path / "x.pt", whole[:end], STORAGE))


def test_machine_agrees_with_pickle_on_plain_data() -> None:
    value = {"a": [1, -2, 3**40, 1.5, None, True, "text", b"bytes"], "b": (1, (2,), ()), "c": {4}}
    for protocol in range(2, 6):
        machine = PickleMachine(allow=lambda _: True, persistent=lambda x: x, source="test")
        read = machine.load(pickle.dumps(value, protocol=protocol))
        assert read["a"][:7] == value["a"][:7]
        assert read["b"] == value["b"]


def test_damaged_directory_of_the_zip_file_is_refused(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "x.pt")
    data = bytearray((tmp_path / "x.pt").read_bytes())
    place = data.rindex(b"data.pkl")
    data[place] = 0xFF  # the name is said to be UTF-8 and is not
    flags = data.rindex(b"PK\x01\x02", 0, place) + 8
    data[flags : flags + 2] = (0x0800).to_bytes(2, "little")
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(UserError, match=r"x.pt is damaged \(UnicodeDecodeError"):
        read_torch_file(tmp_path / "x.pt")
