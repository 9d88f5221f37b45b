import errno
import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from utils.checkpoint.weights import (
    DamagedFileError,
    format_tensor_file,
    load_weights,
    read_tensor_file,
    save_weights,
)
from utils.runtime.errors import UserError

METADATA = {"class_names": ["rüben", "b"], "anchors": [[1.5, 2.25]], "epoch": 3, "map": None}


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "conv.weight": torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last),
        "transposed": torch.randn(3, 5).T,
        "half": torch.randn(3).half(),
        "double": torch.randn(2, dtype=torch.float64),
        "count": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "empty": torch.zeros(0, 4),
    }


def test_weights_come_back_as_dense_float32(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, tensors(), METADATA)
    loaded, metadata = load_weights(path)
    assert metadata == METADATA
    assert loaded.keys() == tensors().keys()
    for name, expected in tensors().items():
        value = loaded[name]
        assert value.is_contiguous()
        assert value.dtype == (torch.float32 if expected.is_floating_point() else expected.dtype)
        assert torch.equal(value, expected.to(value.dtype))
    assert [entry.name for entry in tmp_path.iterdir()] == ["w.safetensors"]


def test_shared_tensor_is_stored_once_and_shared_again(tmp_path: Path) -> None:
    big = torch.randn(1000)
    save_weights(tmp_path / "one", {"a": big}, {})
    save_weights(tmp_path / "two", {"a": big, "b": big, "tail": big[500:]}, {})
    loaded, _ = load_weights(tmp_path / "two")
    assert loaded["a"] is loaded["b"]
    assert torch.equal(loaded["tail"], big[500:])
    save_weights(tmp_path / "part", {"tail": big[500:]}, {})
    assert torch.equal(load_weights(tmp_path / "part")[0]["tail"], big[500:])
    sizes = [(tmp_path / name).stat().st_size for name in ("one", "two")]
    assert sizes[1] - sizes[0] < 3000


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(tmp_path / name, tensors(), METADATA)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_tensors_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    shared = torch.ones(1)
    numbered = {f"{number:02}": torch.tensor(float(number)) for number in range(40)}
    save_weights(path, {"c": shared, **numbered, "b": shared, "a": shared}, METADATA)
    loaded, _ = load_weights(path)
    assert list(loaded) == [*numbered, "a", "b", "c"]


def test_loaded_tensors_can_be_changed(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", {"a": torch.ones(3)}, {})
    load_weights(tmp_path / "w")[0]["a"].zero_()
    assert torch.equal(load_weights(tmp_path / "w")[0]["a"], torch.ones(3))


@pytest.mark.slow
def test_every_flipped_bit_of_content_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_weights(path, {"a": torch.arange(3.0), "b": torch.tensor(5)}, {"x": 1})
    whole = path.read_bytes()
    header_end = 8 + int.from_bytes(whole[:8], "little")
    padding = range(len(whole[:header_end].rstrip(b" ")), header_end)
    for position in range(len(whole)):
        if position in padding:  # spaces that fill the header up carry nothing
            continue
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        with pytest.raises(UserError, match=str(path)):
            load_weights(path)


@pytest.mark.slow
@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_garbage_and_cut_files_are_refused(garbage: bytes, cut: int) -> None:
    path = Path(os.environ["FOCALDET_CACHE"]) / "garbage"
    whole = format_tensor_file({"a": torch.arange(40.0)}, {})
    path.write_bytes(garbage)
    with pytest.raises(DamagedFileError):
        read_tensor_file(path)
    path.write_bytes(whole[: min(cut, len(whole) - 1)])
    with pytest.raises(DamagedFileError):
        read_tensor_file(path)


def test_deeply_nested_header_is_refused(tmp_path: Path) -> None:
    header = b'{"__metadata__":' + b"[" * 100_000
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError):
        load_weights(tmp_path / "w")


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "plain")
    with pytest.raises(UserError, match=r"plain is not a whole safetensors file of this program"):
        load_weights(tmp_path / "plain")
    (tmp_path / "state").write_bytes(format_tensor_file({}, {"kind": "state"}))
    with pytest.raises(UserError, match="holds no weights but a state"):
        load_weights(tmp_path / "state")
    newer = {"kind": "weights", "format_version": 2, "content": {}}
    (tmp_path / "newer").write_bytes(format_tensor_file({}, newer))
    with pytest.raises(
        UserError, match="layout version 2, this program reads 1; update this program"
    ):
        load_weights(tmp_path / "newer")
    with pytest.raises(UserError, match=r"cannot read .*absent: No such file"):
        load_weights(tmp_path / "absent")


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w"
    save_weights(path, {"a": torch.ones(1)}, {})

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*No space left on device; free space"):
        save_weights(path, {"a": torch.zeros(1)}, {})
    assert load_weights(path)[0]["a"].item() == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["w"]


def test_missing_folder_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write .*No such file or directory"):
        save_weights(tmp_path / "absent" / "w", {}, {})


def test_metadata_is_strict_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        save_weights(tmp_path / "w", {}, {"map": float("nan")})
    assert not (tmp_path / "w").exists()


def test_header_is_readable_without_this_program(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", {"a": torch.ones(1)}, METADATA)
    data = (tmp_path / "w").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert json.loads(header["__metadata__"]["focaldet"])["metadata"]["content"] == METADATA
