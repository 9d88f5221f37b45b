from pathlib import Path

import pytest
import torch

import utils.runtime.machine.device
from utils.engine.precision import autocast, choose_precision, gradient_scaler
from utils.runtime.errors import UserError

CPU, CUDA, MPS = (torch.device(name) for name in ("cpu", "cuda:0", "mps"))


def cpu_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text(f"model name\t: toy\nflags\t\t: fpu {flags}\n")
    monkeypatch.setattr(utils.runtime.machine.device, "CPU_INFO", path)


@pytest.mark.parametrize(
    ("flags", "expected"), [("avx2 avx512_bf16", torch.bfloat16), ("avx2 avx512f", None)]
)
def test_auto_takes_bf16_on_a_cpu_that_has_it(
    flags: str,
    expected: torch.dtype | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu_info(tmp_path, monkeypatch, flags)
    assert choose_precision("auto", CPU) is expected
    assert choose_precision("auto", MPS) is None


@pytest.mark.parametrize(("native", "expected"), [(True, torch.bfloat16), (False, torch.float16)])
def test_auto_on_cuda_needs_a_scaler_only_without_bf16(
    native: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def is_bf16_supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return native or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_bf16_supported)
    assert choose_precision("auto", CUDA) is expected
    assert asked == [False]


def test_auto_stays_with_float32_where_the_cpu_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(utils.runtime.machine.device, "CPU_INFO", tmp_path / "absent")
    assert choose_precision("auto", CPU) is None


def test_named_precision_is_obeyed() -> None:
    assert choose_precision("float32", CUDA) is None
    assert choose_precision("bf16", CPU) is torch.bfloat16
    assert choose_precision("fp16", CUDA) is torch.float16


def test_fp16_without_cuda_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.precision=fp16 needs a CUDA device, not cpu"):
        choose_precision("fp16", CPU)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_autocast_computes_in_the_chosen_type(dtype: torch.dtype | None) -> None:
    with autocast(CPU, dtype):
        product = torch.nn.Linear(4, 4)(torch.ones(1, 4))
    assert product.dtype is (dtype or torch.float32)


def test_only_fp16_scales_gradients() -> None:
    assert not gradient_scaler(CPU, torch.bfloat16).is_enabled()
    assert not gradient_scaler(CPU, None).is_enabled()
    assert gradient_scaler(CPU, torch.float16).is_enabled()
