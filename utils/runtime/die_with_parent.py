"""A program that ends with its parent: python -I die_with_parent.py PARENT PROGRAM ...

It is a wrapper of a command; code between fork and exec may deadlock in a process with threads
(torch, gRPC). Linux only.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2); it outlives exec."""


def die_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command that gets SIGTERM when this process ends, in any way.

    On other systems than Linux the command is unchanged.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", str(Path(__file__)), str(os.getpid()), *command]


def main() -> None:
    """Replace this process by the program on the command line."""
    import ctypes

    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
