"""A device that calls itself `mps`, computes on the CPU and knows no float64, as Apple GPUs do.

Its tensors hold tensors of the CPU. What would be float64 there fails with the words of torch, and
so does every operation that mixes tensors of both devices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

MPS = torch.device("meta")
"""The name of a device that torch can differentiate for; a build without Apple's has no `mps`."""
COPIES = ("_to_copy", "copy_", "_copy_from", "detach", "lift_fresh", "set_", "is_same_size")


class MpsTensor(Tensor):
    """A tensor that says it is on an Apple GPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls: "type[MpsTensor]", inner: Tensor) -> "MpsTensor":
        require_no_float64(inner)
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=MPS,
            requires_grad=inner.requires_grad,
        )
        made.inner = inner
        return made  # type: ignore[no-any-return]

    def tolist(self) -> Any:
        return self.inner.tolist()

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["inner"], None

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, dict(kwargs or {}))


def require_no_float64(inner: Tensor) -> None:
    if inner.dtype == torch.float64:
        raise TypeError(
            "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support "
            "float64. Please use float32 instead."
        )


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run an operation on what the tensors hold."""
    flat = tree_flatten((args, kwargs))[0]
    tensors = [item for item in flat if isinstance(item, Tensor)]
    ours = [item for item in tensors if isinstance(item, MpsTensor)]
    name = func.overloadpacket.__name__
    wanted = kwargs.get("device")
    goes_to_mps = wanted is not None and torch.device(wanted).type == MPS.type
    if wanted is not None:
        kwargs["device"] = torch.device("cpu")
    strangers = [t for t in tensors if not isinstance(t, MpsTensor) and t.ndim > 0]
    is_index = name in ("index", "index_put_", "index_put", "_index_put_impl_")
    if ours and strangers and name not in COPIES and not is_index:
        raise RuntimeError(f"{name}: Expected all tensors to be on the same device, mps and cpu")
    plain = tree_map(lambda x: x.inner if isinstance(x, MpsTensor) else x, (args, kwargs))
    result = func(*plain[0], **plain[1])
    if wanted is None and name == "copy_":
        return args[0]
    stays = goes_to_mps or (bool(ours) and wanted is None)
    if not stays:
        return result
    same = {id(t.inner): t for t in ours}

    def wrapped(x: Any) -> Any:
        if not isinstance(x, Tensor) or isinstance(x, MpsTensor):
            return x
        known = same.get(id(x))
        return MpsTensor(x) if known is None else known

    return tree_map(wrapped, result)


class _Factories(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, dict(kwargs or {}))


class _Literals(TorchFunctionMode):
    """`torch.tensor` moves what it made out of sight of a dispatch mode."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor):
            device = kwargs.pop("device", None)
            made = func(*args, **kwargs)
            return made if device is None else made.to(device)
        if func is Tensor.new_tensor:
            like = args[0]
            made = torch.tensor(args[1], dtype=kwargs.get("dtype", like.dtype))
            return made.to(kwargs.get("device", like.device))
        return func(*args, **kwargs)


@contextmanager
def apple_gpu() -> Iterator[torch.device]:
    """Yield a device that fails where Apple's does."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(False)
    try:
        with _Factories(), _Literals():
            yield MPS
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
