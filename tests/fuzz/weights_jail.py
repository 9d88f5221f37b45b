"""Load weights of others in a process of their own each, and see what that takes and does."""

import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from configs.errors import ConfigError
from utils.runtime.errors import UserError

LIMIT_S, LIMIT_MIB = 60, 6144
"""Of a process, after which the system ends it; what is asserted is less."""
_FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.spawn", "subprocess.Popen", "pickle.find_class",
    "socket.connect", "socket.bind", "os.remove", "os.rename", "os.mkdir", "os.chmod", "os.link",
    "os.symlink", "os.kill", "shutil.rmtree", "ctypes.dlopen", "code.__new__",
)  # fmt: skip


class Loaded(NamedTuple):
    """What became of one file: the line said ("" where it was taken), and its costs."""

    path: Path
    told: str
    seconds: float
    mib: float
    deeds: Sequence[str]
    """What it did beyond reading: opened for writing, started, connected."""


def load_each(paths: Iterable[Path]) -> Iterator[Loaded]:
    """Yield what becomes of each file; a child that crashes raises AssertionError."""
    import commands.build.detector  # noqa: F401  so that no child pays for it

    # A collection of garbage in a child would visit, and so copy, every object of the parent: with
    # the heap of a whole test session that took longer than the file.
    gc.freeze()
    try:
        for path in paths:
            yield _load_in_child(path)
    finally:
        gc.unfreeze()


def _load_in_child(path: Path) -> Loaded:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _load(path, writing)
    os.close(writing)
    with os.fdopen(reading) as answer:
        text = answer.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code == 0, f"{path}: exit code {code}, said {text[-2000:]}"
    return Loaded(path, **json.loads(text))


def _load(path: Path, writing: int) -> None:
    """Load in this child, which ends here."""
    code = 1
    try:
        from commands.build.detector import load_detector

        deeds: list[str] = []
        sys.addaudithook(lambda event, arguments: deeds.extend(_deed(event, arguments)))
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        size = int(_status("VmSize")) + LIMIT_MIB
        resource.setrlimit(resource.RLIMIT_AS, (size << 20, size << 20))
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the parent
        before, began, told = _status("VmRSS"), time.process_time(), ""
        deeds.clear()
        try:
            load_detector(path)
        except (UserError, ConfigError) as error:
            told = str(error) or "no word"
        seconds, mib = time.process_time() - began, _status("VmHWM") - before
        report = {"told": told[:5000], "seconds": seconds, "mib": mib, "deeds": deeds}
        os.write(writing, json.dumps(report).encode("ascii", "replace"))
        code = 0
    except BaseException as error:  # whatever it is, the test shows it
        import traceback

        os.write(writing, "".join(traceback.format_exception(error))[-4000:].encode())
    finally:
        os._exit(code)


def _deed(event: str, arguments: tuple[Any, ...]) -> list[str]:
    is_writing = event == "open" and any(mark in str(arguments[1] or "") for mark in "wax+")
    return [f"{event} {arguments!r:.200}"] if is_writing or event in _FORBIDDEN else []


def _status(key: str) -> float:
    """Return a number of /proc/self/status in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(key)
