import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import utils.checkpoint.state as state_module
from utils.checkpoint.state import has_state, load_state, save_state
from utils.checkpoint.weights import format_tensor_file
from utils.runtime.errors import UserError


def tree(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "tenth": 0.1,
        "optimizer": {0: {"momentum": torch.full((3, 2), float(number))}},
        "rng": torch.arange(16, dtype=torch.uint8),
        "steps": torch.tensor(number),
        "double": torch.tensor([0.1], dtype=torch.float64),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "nothing": None,
        "pair": (1, [True, "x"]),
    }


def check(loaded: Any, number: int) -> None:
    expected = tree(number)
    momentum = loaded["optimizer"][0].pop("momentum")
    assert torch.equal(momentum, expected["optimizer"][0].pop("momentum"))
    for name, value in expected.items():
        if isinstance(value, torch.Tensor):
            assert loaded[name].dtype == value.dtype
            assert torch.equal(loaded[name], value)
        else:
            assert loaded[name] == value
            assert type(loaded[name]) is type(value)


def test_state_comes_back_exactly(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        save_state(tmp_path / "last", tree(number))
        check(load_state(tmp_path / "last"), number)
    assert {entry.name for entry in tmp_path.iterdir()} == {"last", "last.previous"}


class DeadError(BaseException):
    """Stands for SIGKILL: no handler of ours sees it as an OSError."""


def dying(monkeypatch: pytest.MonkeyPatch, call: int, error: Callable[[], BaseException]) -> None:
    """Let the n-th system call that changes something fail instead of happening."""
    count = 0

    def wrap(module: Any, name: str) -> None:
        original = getattr(module, name)

        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            nonlocal count
            count += 1
            if count == call:
                raise error()
            return original(*arguments, **keywords)

        monkeypatch.setattr(module, name, wrapped)

    for module, name in ((os, "rename"), (os, "fsync"), (shutil, "rmtree"), (Path, "mkdir")):
        wrap(module, name)


@pytest.mark.parametrize("call", range(1, 12))
@pytest.mark.parametrize("saved_before", [1, 2])
def test_death_at_any_moment_leaves_a_whole_state(
    call: int, saved_before: int, tmp_path: Path
) -> None:
    last = tmp_path / "last"
    for number in range(saved_before):
        save_state(last, tree(number))
    old, new = saved_before - 1, saved_before
    with pytest.MonkeyPatch.context() as monkeypatch:
        dying(monkeypatch, call, DeadError)
        try:
            save_state(last, tree(new))
            died = False
        except DeadError:
            died = True
    number = load_state(last)["number"]
    assert number in ((old, new) if died else (new,))
    check(load_state(last), number)
    save_state(last, tree(7))
    check(load_state(last), 7)


def test_second_death_does_not_lose_what_the_first_one_had_finished(tmp_path: Path) -> None:
    last = tmp_path / "last"
    save_state(last, tree(1))
    save_state(last, tree(2))
    os.rename(last, tmp_path / "last.new")  # died before state 2 got its name
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(DeadError))
        with pytest.raises(DeadError):
            save_state(last, tree(3))
    check(load_state(last), 2)


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", range(1, 12))
def test_full_disk_at_any_moment_leaves_the_previous_state(call: int, tmp_path: Path) -> None:
    last = tmp_path / "last"
    save_state(last, tree(1))
    with pytest.MonkeyPatch.context() as monkeypatch:
        dying(monkeypatch, call, full_disk)
        try:
            save_state(last, tree(2))
            failed = False
        except UserError:
            failed = True
    if failed:
        assert last.is_dir()
        assert not (tmp_path / "last.new").exists()
    check(load_state(last), 1 if failed else 2)


def test_unfinished_first_state_is_no_state(tmp_path: Path) -> None:
    (tmp_path / "last.new").mkdir()
    (tmp_path / "last.new" / "state.json").write_text("{")
    with pytest.raises(UserError, match=r"no checkpoint in .*last can be used: .*damaged"):
        load_state(tmp_path / "last")
    save_state(tmp_path / "last", tree(1))
    check(load_state(tmp_path / "last"), 1)


def test_unfinished_write_beside_a_whole_state_is_passed_over_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_state(tmp_path / "last", tree(1))
    (tmp_path / "last.new").mkdir()
    with caplog.at_level(logging.WARNING):
        check(load_state(tmp_path / "last"), 1)
    assert caplog.records == []


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
@pytest.mark.parametrize("region", range(10))
def test_flipped_bit_falls_back_to_the_state_before_with_a_warning(
    name: str, region: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last = tmp_path / "last"
    save_state(last, tree(1))
    save_state(last, tree(2))
    data = bytearray((last / name).read_bytes())
    position = len(data) * region // 10
    data[position] ^= 1
    (last / name).write_bytes(data)
    with caplog.at_level(logging.WARNING):
        check(load_state(last), 1)
    assert "resuming from the checkpoint before it" in caplog.text
    assert str(last / name) in caplog.text


@pytest.mark.parametrize("name", ["state.json", "state.safetensors"])
def test_missing_file_falls_back_too(name: str, tmp_path: Path) -> None:
    last = tmp_path / "last"
    save_state(last, tree(1))
    save_state(last, tree(2))
    (last / name).unlink()
    check(load_state(last), 1)


def test_files_of_two_states_are_not_mixed(tmp_path: Path) -> None:
    last = tmp_path / "last"
    save_state(last, tree(1))
    save_state(last, tree(2))
    shutil.copy(tmp_path / "last.previous" / "state.safetensors", last)
    check(load_state(last), 1)


def test_newer_format_is_refused_by_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as newer:
        newer.setattr(state_module, "FORMAT_VERSION", 2)
        save_state(tmp_path / "last", tree(1))
    with pytest.raises(UserError, match="format version 2, this program reads 1"):
        load_state(tmp_path / "last")


def test_no_state_at_all(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint to resume from"):
        load_state(tmp_path / "last")


def test_a_state_is_there_once_it_was_whole(tmp_path: Path) -> None:
    last = tmp_path / "last"
    assert not has_state(last)
    (tmp_path / "last.new").mkdir()
    assert not has_state(last)
    save_state(last, tree(1))
    assert has_state(last)
    os.rename(last, tmp_path / "last.new")  # died before it got its name
    assert has_state(last)
    os.rename(tmp_path / "last.new", tmp_path / "last.previous")
    assert has_state(last)


@pytest.mark.parametrize(
    "values",
    [{"$tensor": "absent"}, {"$tuple": 3}, {"$float": "x"}, {"$map": [[1]]}, [[[{"$map": 1}]]]],
)
def test_values_that_are_no_state_fall_back(values: Any, tmp_path: Path) -> None:
    last = tmp_path / "last"
    save_state(last, tree(1))
    save_state(last, tree(2))
    checksum = state_module._values_checksum(1, values)
    content = {"format_version": 1, "checksum": checksum, "values": values}
    (last / "state.json").write_text(json.dumps(content))
    header = {"kind": "state", "values": checksum}
    (last / "state.safetensors").write_bytes(format_tensor_file({}, header))
    check(load_state(last), 1)
