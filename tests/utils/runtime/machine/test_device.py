import pytest
import torch

from utils.runtime.errors import UserError
from utils.runtime.machine.device import choose_device


def set_machine(monkeypatch: pytest.MonkeyPatch, cuda_devices: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda_devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda_devices)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("name", "cuda_devices", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cpu", 2, "cpu"),
        ("cuda", 1, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_device_by_name(
    name: str, cuda_devices: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_machine(monkeypatch, cuda_devices)
    assert choose_device(name) == torch.device(expected)


@pytest.mark.parametrize(
    ("name", "cuda_devices", "message"),
    [
        ("cuda", 0, r"train\.device=cuda: torch .* CUDA.*; use train\.device=cpu"),
        ("cuda:2", 2, "there are 2 CUDA devices, cuda:0 and up"),
        ("mps", 0, "no Apple GPU here"),
    ],
)
def test_missing_device_is_the_users_error(
    name: str, cuda_devices: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_machine(monkeypatch, cuda_devices)
    with pytest.raises(UserError, match=message):
        choose_device(name)
