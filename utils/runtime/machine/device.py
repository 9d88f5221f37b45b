"""The compute device and its abilities."""

from pathlib import Path

import torch

from utils.runtime.errors import UserError

CPU_INFO = Path("/proc/cpuinfo")


def choose_device(name: str, process: int = 0) -> torch.device:
    """Return the device called `name`: auto (CUDA where there is one, else CPU), cpu, cuda, cuda:N
    or mps; without a number, the CUDA device of that process of a training run on this machine.

    Raises:
        UserError: this machine has no such device, or torch was built without it.
    """
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
    except OSError:
        return False
    features = {
        word
        for line in text.splitlines()
        if line.lower().startswith(("flags", "features"))
        for word in line.split()
    }
    return bool(features & {"avx512_bf16", "amx_bf16", "bf16"})
