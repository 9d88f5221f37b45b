"""Skip weight initialisation of modules, as `torch.nn.utils.skip_init` does."""

from collections.abc import Callable, Sequence
from typing import Any

from torch.overrides import TorchFunctionMode

DRAWING = {"uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_"}
"""What torch's constructors fill weights with, by the name of the function."""


class SkipInit(TorchFunctionMode):
    """Modules built inside keep uninitialised weights.

    No random number is drawn, and the system grants memory that is never written only in name.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call `function`, unless it draws: then return the tensor it would have filled."""
        if getattr(function, "__name__", "") in DRAWING:
            return args[0] if args else (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))
