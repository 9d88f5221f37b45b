"""Precision of the forward pass: float32, or autocast to bf16 or fp16."""

import torch

from utils.runtime.errors import UserError
from utils.runtime.machine.device import cpu_computes_bf16

DTYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(name: str, device: torch.device) -> torch.dtype | None:
    """Return the autocast type of `train.precision`, None for plain float32.

    auto is fp16 on CUDA, bf16 on a CPU that computes it natively, else float32.

    Raises:
        UserError: fp16 without CUDA, where it is slower and its gradients vanish.
    """
    if name == "auto":
        if device.type == "cuda":
            return torch.float16
        return torch.bfloat16 if device.type == "cpu" and cpu_computes_bf16() else None
    if name == "fp16" and device.type != "cuda":
        raise UserError(
            f"train.precision=fp16 needs a CUDA device, not {device.type}; "
            "use bf16, float32 or auto"
        )
    return DTYPES[name]


def autocast(device: torch.device, dtype: torch.dtype | None) -> torch.autocast:
    """Return a context in which the network computes in `dtype`; None leaves float32."""
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def gradient_scaler(device: torch.device, dtype: torch.dtype | None) -> torch.amp.GradScaler:
    """Return the gradient scaler for fp16; it does nothing for other types."""
    return torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
