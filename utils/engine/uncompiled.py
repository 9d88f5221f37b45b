"""Optimizers that do not load torch's compiler.

The first call of some methods of `torch.optim.Optimizer` imports it, only to mark them as not to be
compiled: more than a second and 100 MiB of a training that compiles no optimizer.
"""

from torch.optim import Optimizer

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
