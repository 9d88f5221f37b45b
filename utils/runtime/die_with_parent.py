"""A program that ends with its parent: python -I die_with_parent.py PARENT PROGRAM ...

It is put before a command instead of being run between fork and exec, where a process with threads
(torch, gRPC) may lock up for good. Linux only.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of prctl(2); it outlives exec."""


def die_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command that is asked to end (SIGTERM) when this process is gone, however it went.

    Elsewhere than on Linux the command as it is.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", str(Path(__file__)), str(os.getpid()), *command]


def main() -> None:
    """Become the program that the command line names."""
    import ctypes

    parent, *command = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
