"""Pickles that describe more than fits: refused soon, in time and memory linear in the file."""

import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from utils.checkpoint.torch_file import read_torch_file
from utils.runtime.errors import UserError


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def name(module: str, attribute: str) -> bytes:
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def storage(count: int = 4) -> bytes:
    return (
        b"("
        + text("storage")
        + name("torch", "FloatStorage")
        + text("0")
        + text("cpu")
        + (number(count) + b"tQ")
    )


def tensor(shape: bytes = b"K\x02K\x02\x86", stride: bytes = b"K\x02K\x01\x86") -> bytes:
    head = name("torch._utils", "_rebuild_tensor_v2") + b"("
    return head + storage() + b"K\x00" + shape + stride + b"\x89)tR"


def doubled(levels: int, width: int, end: bytes = b"t") -> bytes:
    made = b"K\x01q\x00"
    for level in range(levels):
        made += b"0(" + (b"h" + bytes([level])) * width + end + b"q" + bytes([level + 1])
    return made


def big_int() -> bytes:
    data = (1 << 200_000).to_bytes(25_001, "little")
    return b"\x8b" + struct.pack("<i", len(data)) + data


CASES: dict[str, Callable[[], bytes]] = {
    "hash_deep": lambda: b"})" + b"\x85" * 500_000 + b"K\x01s",
    "hash_doubled": lambda: b"}" + doubled(60, 2) + b"K\x01s",
    "set_of_doubled": lambda: b"\x8f(" + doubled(60, 2) + b"\x90",
    "frozenset_of_doubled": lambda: b"(" + doubled(60, 2) + b"\x91",
    "laugh_persistent": lambda: doubled(12, 10) + b"Q",
    "list_persistent": lambda: doubled(12, 10, b"l") + b"Q",
    "names": lambda: b"}" + text("names") + b"}" + doubled(12, 10) + b"K\x01su.",
    "deep_dict": lambda: (b"}" + text("abcdefgh")) * 90_000 + tensor() + b"s" * 90_000,
    "long_key": lambda: b"}(" + text("k" * 500_000) + b"}("
    + b"".join(text(str(i)) + b"}" for i in range(20_000)) + b"uu",
    "nested_parameters": lambda: b"}(" + text("w") + name("torch._utils", "_rebuild_parameter")
    + b"q\x01(" + b"h\x01(" * 50_000 + tensor() + b"\x89}tR" * 50_001 + b"u",
    "shape_of_many_bits": lambda: b"}(" + text("w") + tensor(b"(" + big_int() + b"t", b"(K\x01t")
    + b"u",
    "memo_of_many_bits": lambda: b"N" + b"g" + b"9" * 5000 + b"\n",
    "many_dimensions": lambda: b"}(" + text("w") + tensor(b"(" + b"K\x01" * 9000 + b"t", b"(" +
                                                        b"K\x01" * 9000 + b"t") + b"u",
}  # fmt: skip


def write(path: Path, pickle: bytes, data: bytes = b"\0" * 16) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02" + pickle + b".")
        archive.writestr("a/data/0", data)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_refused_in_one_line(case: str, tmp_path: Path) -> None:
    path = write(tmp_path / "x.pt", CASES[case]())
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        read_torch_file(path)
    assert time.process_time() - began < 20  # endless before; a busy machine needs seconds
    assert len(str(caught.value)) < 500


def test_views_of_one_storage_take_no_more_than_the_file(tmp_path: Path) -> None:
    side = 256
    first = name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage(side * side) + b"q\x01"
    rest = b"K\x00" + number(side) * 2 + b"\x86" + b"K\x01" + number(side) + b"\x86\x89)tR"
    again = name("torch._utils", "_rebuild_tensor_v2") + b"(h\x01" + rest
    views = text("t") + first + rest + b"".join(text(f"t{i}") + again for i in range(300))
    path = write(tmp_path / "views.pt", b"}(" + views + b"u", b"\0" * 4 * side * side)
    with pytest.raises(UserError, match="larger than the file"):
        read_torch_file(path)


@pytest.mark.slow
def test_time_and_memory_grow_as_the_file_does(tmp_path: Path) -> None:
    """Opcodes counted by what they cost: four times the file, at most six times the memory."""
    peaks = []
    for count in (1_000, 4_000, 16_000):
        items = b"".join(text(f"k{i}") + b"(K\x01K\x02t" for i in range(count))
        path = write(tmp_path / f"{count}.pt", b"}(" + items + b"u")
        tracemalloc.start()
        with pytest.raises(UserError, match="no tensors"):
            read_torch_file(path)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 6 * peaks[0]
    assert peaks[2] < 6 * peaks[1]
