"""Optimizers that do not load torch's compiler.

The first call of some methods of `torch.optim.Optimizer`, and every step of the Adam family,
imports it, only to mark that they are not compiled: more than a second and 100 MiB of a run that
compiles no optimizer.
"""

import inspect
from functools import lru_cache

import torch
from torch.optim import Adam, Optimizer

_MARK = "__dynamo_disable"
"""Where torch keeps what it calls instead of such a method, once it is marked."""
_MARKED_IN = "torch._compile"


def keep_compiler_out() -> None:
    """Let torch call those methods as they are; does nothing where torch has it otherwise."""
    for method in vars(Optimizer).values():
        original = getattr(method, "__wrapped__", None)
        is_marked = getattr(method, "__globals__", {}).get("__name__") == _MARKED_IN
        if original is not None and is_marked and not hasattr(original, _MARK):
            setattr(original, _MARK, original)


@lru_cache
def with_plain_step(optimizer: type[Adam]) -> type[Adam]:
    """Return the optimizer with the same steps, computed without the wrapper that loads the
    compiler.

    Args:
        optimizer: `torch.optim.Adam` or `AdamW`, not differentiable.
    """
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), {"step": step})
