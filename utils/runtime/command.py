"""Runs an entry point: mistakes of the user become one line and exit code 2, not a traceback."""

import errno
import sys
from collections.abc import Callable
from typing import NoReturn

from utils.runtime.progress import is_silent_process

USER_ERROR_CODE = 2
INTERRUPTED_CODE = 130
MACHINE_LIMITS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT}
)
"""Operating system errors that say enough by themselves: full, forbidden, missing."""


def run_command(
    main: Callable[[], int | None], *, user_errors: tuple[type[Exception], ...]
) -> NoReturn:
    """Run `main` and leave the process with its exit code (None counts as 0).

    One of `user_errors`, a full disk and a missing permission print `error: ...` and give 2; an
    interruption gives 130. Everything else is a mistake of the program and keeps its traceback.
    """
    try:
        code = main() or 0
    except KeyboardInterrupt as interruption:
        if not is_silent_process():
            _say(str(interruption) or "interrupted")
        code = INTERRUPTED_CODE
    except user_errors as error:
        _say(f"error: {error}")
        code = USER_ERROR_CODE
    except OSError as error:
        if error.errno not in MACHINE_LIMITS:
            raise
        _say(f"error: {error.filename or 'file system'}: {error.strerror}")
        code = USER_ERROR_CODE
    sys.exit(code)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
