"""Checks before training whether this machine can compile the code that torch generates."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from utils.runtime.errors import UserError

DEVICES = ("cpu", "cuda")
EXACT_OPTION, GRAPHS_OPTION = "deterministic", "triton.cudagraphs"
"""Compiler options of torch: no choice of code by its speed, and CUDA graphs."""
REMEDY = "fix that or set train.compile=off"
LONGEST_REASON = 200
"""Characters of torch's message shown in one line."""


def require_compiler(device: torch.device, *, is_exact: bool = False) -> None:
    """Compile a small function for `device`; takes some seconds.

    Raises:
        UserError: nothing can be compiled here, or with `is_exact` only code whose last digits may
            change with the next start; says what is missing.
    """
    if device.type not in DEVICES:
        raise UserError(
            f"train.compile works on {' and '.join(DEVICES)}, not on {device.type}; "
            "set train.compile=off"
        )
    name = compiler_name()
    if device.type == "cpu" and shutil.which(name) is None:
        raise UserError(
            f"train.compile needs a C++ compiler, and there is no {name} here; install it (on "
            f"Debian and Ubuntu: apt install g++), set CXX to another one, or "
            "set train.compile=off"
        )
    if is_exact:
        _require_exact_code()
    with compiling("a first small function"):
        torch.compile(_sample)(torch.zeros(8, device=device, requires_grad=True)).backward()


def _require_exact_code() -> None:
    from torch._inductor import list_options

    if EXACT_OPTION not in list_options():
        raise UserError(
            f"train.compile: torch {torch.__version__} chooses the code of a GPU by its speed, so "
            "that a resumed training would not be exact; use a newer torch, set "
            "train.deterministic=false or train.compile=off"
        )


def compiler_name() -> str:
    """Return the program that torch calls to compile C++."""
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    return os.environ.get("CXX", usual).split()[0]


@contextmanager
def compiling(what: str) -> Iterator[None]:
    """Convert failures of torch's compiler to a one-line error.

    Raises:
        UserError: `what` cannot be compiled.
    """
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    try:
        yield
    except (TorchDynamoException, CppCompileError, InvalidCxxCompiler) as error:
        raise UserError(
            f"train.compile: torch cannot compile {what}: {_reason(error)}; {REMEDY}"
        ) from error


def _reason(error: Exception) -> str:
    """Return the most informative line of a message: of the C++ compiler, or of torch."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for sign in (" error: ", "Error: ") for line in lines if sign in line]
    return next(iter([*telling, *lines]), type(error).__name__)[:LONGEST_REASON]


def _sample(x: Tensor) -> Tensor:
    return (x.sin() * x).sum()
