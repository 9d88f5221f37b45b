"""The compute device and its abilities."""

import sys
from pathlib import Path

import torch

from utils.runtime.errors import UserError
from utils.runtime.machine.device_names import device_numbers, require_one_process_a_device

CPU_INFO = Path("/proc/cpuinfo")


def choose_device(name: str, process: int = 0) -> torch.device:
    """Return the device called `name`: auto (CUDA where there is one, else CPU), cpu, cuda, cuda:N
    or mps; without a number, the CUDA device of that process of a training on this machine. Of
    cuda:N,M, which torchrun is for, each process has its own.

    Raises:
        UserError: this machine has no such device, torch was built without it, or one process is
            given several.
    """
    if "," in name:
        require_one_process_a_device(name)
        numbers = device_numbers(name)
        name = f"cuda:{numbers[process % len(numbers)]}"
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        index = process if device.index is None else device.index
        return torch.device("cuda", _cuda_index(name, index))
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"train.device={name}: torch finds no Apple GPU here; use train.device=cpu")
    return device


def _cuda_index(name: str, index: int) -> int:
    if not torch.cuda.is_available():
        built = "finds no CUDA device" if torch.version.cuda else "was built without CUDA"
        raise UserError(
            f"train.device={name}: torch {torch.__version__} {built}; use train.device=cpu"
        )
    count = torch.cuda.device_count()
    if index >= count:
        raise UserError(
            f"train.device={name}: there are {count} CUDA devices, cuda:0 and up, and number "
            f"{index} was requested; start as many processes as there are devices"
        )
    return index


def cpu_computes_bf16() -> bool:
    """Tell whether the CPU has bfloat16 instructions; emulated bfloat16 is slower than float32."""
    try:
        text = CPU_INFO.read_text()
    except OSError:  # no Linux: ask torch, whose ways to tell come and go with its versions
        known = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return sys.platform == "win32" and known is not None and bool(known())
    features = {
        word
        for line in text.splitlines()
        if line.lower().startswith(("flags", "features"))
        for word in line.split()
    }
    return bool(features & {"avx512_bf16", "amx_bf16", "bf16"})
