"""Precision of the forward pass: float32, or autocast to bf16 or fp16."""

import torch

from utils.runtime.errors import UserError
from utils.runtime.machine.device import cpu_computes_bf16

DTYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(name: str, device: torch.device) -> torch.dtype | None:
    """Return the autocast type of `train.precision`, None for plain float32.

    auto is bf16 on a GPU or CPU that computes it natively, fp16 on other CUDA devices, else
    float32. bf16 has the range of float32, so that its gradients need no scaler.

    Raises:
        UserError: fp16 without CUDA, where it is slower and its gradients vanish.
    """
    if name == "auto":
        if device.type == "cuda":
            is_native = torch.cuda.is_bf16_supported(including_emulation=False)
            return torch.bfloat16 if is_native else torch.float16
        return torch.bfloat16 if device.type == "cpu" and cpu_computes_bf16() else None
    if name == "fp16" and device.type != "cuda":
        raise UserError(
            f"train.precision=fp16 needs a CUDA device, not {device.type}; "
            "use bf16, float32 or auto"
        )
    return DTYPES[name]


def precision_name(name: str, device: torch.device) -> str:
    """Return float32, bf16 or fp16, what `choose_precision` takes for `train.precision`.

    Raises:
        UserError: as `choose_precision`.
    """
    dtype = choose_precision(name, device)
    return next(known for known, its_dtype in DTYPES.items() if its_dtype is dtype)


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Return a context in which the network computes in `dtype`; None leaves float32."""
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def gradient_scaler(device: torch.device, dtype: torch.dtype | None) -> torch.amp.GradScaler:
    """Return the gradient scaler for fp16; it does nothing for other types."""
    return torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
