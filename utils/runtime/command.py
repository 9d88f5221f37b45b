"""Runs an entry point: user errors become one line and exit code 2, not a traceback."""

import errno
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from utils.runtime.errors import UserError
from utils.runtime.printable import printable
from utils.runtime.screen import forget_unwritten, prepare_streams, say
from utils.runtime.starting import (
    INTERRUPTED_CODE,
    WORD,
    begin_program,
    end_program,
    was_interrupted,
)

NEEDED = frozenset(
    {
        *("PIL", "cv2", "hotcoco", "jinja2", "numpy", "platformdirs", "psutil", "pycocotools"),
        *("pydantic", "safetensors", "torch", "torchvision", "tqdm", "yaml"),
    }
)
"""Modules of the packages in requirements.txt."""
USER_ERROR_CODE = 2
MACHINE_LIMITS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT}
)
"""Operating system errors whose text is sufficient: disk full, permission, missing file."""


def run_command(
    main: Callable[[], int | None], *, user_errors: tuple[type[Exception], ...]
) -> NoReturn:
    """Run `main` and exit with its exit code (None counts as 0).

    One of `user_errors`, a full disk, a missing permission and a package that this Python lacks
    print `error: ...` and give 2; an interruption gives 130. Everything else is a bug and keeps its
    traceback.
    """
    prepare_streams()
    begin_program()
    try:
        code = main() or 0
    except KeyboardInterrupt as interruption:
        code = _interrupted(str(interruption))
    except user_errors as error:
        # A ConfigError has a line for each mistake; a name with a line end makes no second one.
        say(f"error: {printable(error) if isinstance(error, UserError) else error}")
        code = USER_ERROR_CODE
    except Exception as error:
        if was_interrupted():
            code = _interrupted()
        else:
            say(f"error: {_fault_of_the_machine(error)}")
            code = USER_ERROR_CODE
    forget_unwritten()
    end_program(code)


def _interrupted(words: str = "") -> int:
    from utils.runtime.progress import is_silent_process

    if not is_silent_process():
        say(words or WORD)
    return INTERRUPTED_CODE


def _fault_of_the_machine(error: Exception) -> str:
    """Return what to say of a package that is missing or a file system that refuses.

    Raises:
        Exception: the error itself, where it is a mistake of the program.
    """
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] in NEEDED:
        return (
            f"{sys.executable} lacks the package {error.name}; install all of them with "
            f"{Path(sys.executable).name} -m pip install -r requirements.txt, or use the Python "
            "that `make demo` has set up: .venv/bin/python"
        )
    if isinstance(error, OSError) and error.errno in MACHINE_LIMITS:
        return f"{error.filename or 'file system'}: {error.strerror}"
    raise error
