"""The comparison of two files of tensors, which proves that a change changed no number."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from scripts.compare_tensors import differences, main


def tensors() -> dict[str, Tensor]:
    return {"w": torch.tensor([[1.0, -2.0]]), "n": torch.tensor(3), "empty": torch.zeros(0, 4)}


def test_the_same_bits_are_no_difference() -> None:
    nan = {"w": torch.tensor([float("nan")])}
    assert list(differences(tensors(), tensors())) == []
    assert list(differences(nan, {"w": nan["w"].clone()})) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"w": torch.tensor([[1.0, -2.5]])}, "w: values differ by up to 0.5"),
        ({"n": torch.tensor(4)}, "n: values differ by up to 1"),
        ({"w": torch.tensor([1.0, -2.0])}, "w: float32 (1, 2) and float32 (2,)"),
        ({"n": torch.tensor(3.0)}, "n: int64 () and float32 ()"),
        ({"new": torch.zeros(1)}, "new: only in the second file"),
    ],
)
def test_what_differs_is_named(change: dict[str, Tensor], line: str) -> None:
    assert list(differences(tensors(), tensors() | change)) == [line]


def test_the_sign_of_zero_is_a_difference() -> None:
    zero = {"w": torch.tensor([0.0])}
    assert list(differences(zero, {"w": -zero["w"]})) == ["w: values differ by up to 0"]


def test_a_missing_tensor_is_named() -> None:
    assert list(differences(tensors(), {})) == [
        f"{name}: only in the first file" for name in ("empty", "n", "w")
    ]


def test_exit_code_and_metadata(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, other = (tmp_path / f"{name}.safetensors" for name in "abc")
    save_file(tensors(), first, {"folder": "before"})
    save_file(tensors(), second, {"folder": "after"})
    save_file(tensors() | {"n": torch.tensor(4)}, other)
    assert main([str(first), str(second)]) == 0
    assert capsys.readouterr().out == "0 of 3 tensors differ\n"
    assert main([str(first), str(other)]) == 1
    with pytest.raises(SystemExit, match="2"):
        main([str(first), str(tmp_path / "none")])
