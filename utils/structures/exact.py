"""float64 where it matters, also beside devices that have none."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)

WITHOUT_FLOAT64 = frozenset({"mps"})
"""Types of devices on which no tensor can be float64: Apple GPUs."""


def in_float64(values: Tensor) -> Tensor:
    """Return values (...) in float64; on the CPU where their device has no such numbers."""
    return (values.cpu() if values.device.type in WITHOUT_FLOAT64 else values).double()


def move(module: Module, device: torch.device) -> Module:
    """Move a module to a device, float64 buffers as float32 where that has none; return it."""
    if device.type in WITHOUT_FLOAT64:
        for part in module.modules():
            for name, buffer in list(part.named_buffers(recurse=False)):
                if buffer.dtype == torch.float64:
                    setattr(part, name, buffer.float())
    return module.to(device)
