"""Ctrl-C while a program still imports: one word and the end, since nothing has begun.

An exception in the middle of an import may come out as anything: compiled modules turn an interrupt
into an ImportError, callbacks print it and go on, libraries swallow it. So none is raised there.
Entry points import this module first; it changes nothing where a function imports them.
"""

import atexit
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED_CODE = 130
WORD = "interrupted"
AGAIN_AFTER_S = 0.05
"""Seconds until an interrupt that a callback has swallowed is sent anew."""
_state = {"is_program": False, "interrupted": False}


def leave_at_once(_number: int = 0, _frame: FrameType | None = None) -> None:
    """End the process with the code of an interruption; the first of several processes says so."""
    with suppress(OSError, ValueError):
        if os.environ.get("RANK", "0") == "0" and select.select([], [2], [], 0)[1]:
            os.write(2, f"{WORD}\n".encode())
    os._exit(INTERRUPTED_CODE)


@contextmanager
def importing() -> Iterator[None]:
    """Let Ctrl-C end the process at once while this block imports, and do nothing but import.

    Where somebody else looks after the signal, or this is no program of ours, nothing changes.
    """
    if not (_state["is_program"] and _handles(interrupt)):
        yield
        return
    signal.signal(signal.SIGINT, leave_at_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, interrupt)


def begin_program() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt, where this process is a program of ours."""
    if _state["is_program"] and _handles(leave_at_once):
        signal.signal(signal.SIGINT, interrupt)
        sys.unraisablehook = _send_again


def end_program(code: int) -> NoReturn:
    """Leave with a code. A program of ours is not taken apart: with torch that takes a second.

    What was asked to happen at the end happens; Ctrl-C shows no traceback of the interpreter.
    """
    if not (_state["is_program"] and _handles(interrupt)):
        sys.exit(code)
    signal.signal(signal.SIGINT, leave_at_once)
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        sys.excepthook(*sys.exc_info())
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def was_interrupted() -> bool:
    """Tell whether Ctrl-C came, whatever an import in progress made of it."""
    return _state["interrupted"]


def interrupt(_number: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt and remember it."""
    _state["interrupted"] = True
    raise KeyboardInterrupt


def _send_again(swallowed: "sys.UnraisableHookArgs") -> None:
    """Send an interrupt anew that came in a callback, where Python prints it and goes on."""
    if not issubclass(swallowed.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(swallowed)
        return
    timer = threading.Timer(AGAIN_AFTER_S, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()


def _handles(handler: object) -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGINT) is handler


def _is_program(frame: FrameType | None) -> bool:
    """Tell whether the module of a frame is imported by a program of ours that was started.

    That is the started file itself, or the command `focaldet`, with nothing but import statements
    in between. Whoever uses the API imports this module on other ways.
    """
    importers: list[FrameType] = []
    while frame is not None:
        if not frame.f_code.co_filename.startswith("<frozen "):
            importers.append(frame)
        frame = frame.f_back
    name = str(importers[1].f_globals.get("__name__")) if len(importers) > 1 else ""
    is_ours = name == "__main__" or name.endswith("commands.console")
    return is_ours and all(each.f_code.co_name == "<module>" for each in importers)


if _handles(signal.default_int_handler) and _is_program(sys._getframe()):
    _state["is_program"] = True
    signal.signal(signal.SIGINT, leave_at_once)
