"""Locks on runs, where several processes or machines work on one folder.

A claim is a file that only one process can create. It is valid while its owner lives: on this
machine that is checked, elsewhere the owner renews the file's time. A dead owner's claim is not
removed, which two others could do at once, but superseded by the next number, which again only one
can create.
"""

import json
import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import psutil

from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_atomically
from utils.runtime.files.json_file import read_json_object
from utils.runtime.printable import shortened

PROC = Path("/proc")
STALE_S = 180.0
"""Seconds without renewal after which an owner on another machine counts as dead."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this process may work on."""

    path: Path

    def renew(self, child: int | None = None) -> bool:
        """Renew the claim; False if another machine took over meanwhile.

        Args:
            child: process that does the work: the claim is valid while it lives, even without us.
        """
        if _following(self.path).exists():
            return False
        if child is not None:
            write_owner(self.path, child)
        os.utime(self.path)
        return True

    def release(self) -> None:
        """Release the claim."""
        with suppress(FileNotFoundError):
            self.path.unlink()


def take_claim(folder: Path, key: str) -> Claim | None:
    """Claim a run; None while a live process has it.

    Args:
        folder: where the claims of a comparison lie; is created.
        key: file name of the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key}.1.claim"
    while path.exists():
        if not _following(path).exists() and _is_alive(path):
            return None
        path = _following(path)
    try:
        with path.open("x", encoding="utf-8"):
            pass
    except FileExistsError:
        return None
    write_owner(path, None)
    return Claim(path)


def is_claimed(folder: Path, key: str) -> bool:
    """Tell whether a live process has a claim."""
    path = folder / f"{key}.1.claim"
    while _following(path).exists():
        path = _following(path)
    return path.exists() and _is_alive(path)


def write_owner(path: Path, child: int | None) -> None:
    """Write down this process, and the one that works for it."""
    processes = [pid for pid in (os.getpid(), child) if pid is not None]
    owner = {
        "host": socket.gethostname(),
        "space": _process_space(),
        "since": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "processes": [[p, _started(p)] for p in processes],
    }
    write_atomically(path, json.dumps(owner).encode())


def owner_text(folder: Path, key: str) -> str:
    """Return who holds a claim, in words."""
    path = folder / f"{key}.1.claim"
    while _following(path).exists():
        path = _following(path)
    try:
        owner = read_json_object(path)
        process, host, since = owner["processes"][0][0], owner["host"], owner["since"]
    except (UserError, LookupError, TypeError):
        return "another process"
    return shortened(f"process {process} on {host} since {since}")


def _process_space() -> int:
    """Return the id of this container's process namespace, 0 elsewhere."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _following(path: Path) -> Path:
    key, number, _ = path.name.rsplit(".", 2)
    return path.with_name(f"{key}.{int(number) + 1}.claim")


def _is_alive(path: Path) -> bool:
    try:
        owner = read_json_object(path)
        is_here = owner["host"] == socket.gethostname()
        if is_here and owner.get("space", _process_space()) == _process_space():
            return any(_runs(pid, started) for pid, started in owner["processes"])
    except (UserError, OSError, ValueError, KeyError, TypeError, OverflowError):
        pass  # just created or just released: its time decides
    try:
        return _now(path.parent) - path.stat().st_mtime < STALE_S
    except FileNotFoundError:
        return False


def _now(folder: Path) -> float:
    """Return the time by the clock that dates the claims, which is the file server's."""
    # Threads of one process ask at once, too: each has a probe of its own.
    probe = folder / f".clock-{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    probe.write_bytes(b"")
    try:
        return probe.stat().st_mtime
    finally:
        probe.unlink()


def _runs(pid: int, started: str | None) -> bool:
    """Tell whether a process lives and is not a later one with the same number."""
    # Not os.kill(pid, 0): on Windows that is Ctrl-C to the process.
    return psutil.pid_exists(pid) and _started(pid) == started


def _started(pid: int) -> str | None:
    """Return when a process began, in ticks since the machine's start, in seconds of the clock
    where there is no /proc; None where unknown.

    A process that ended and waits for its parent to notice counts as gone.
    """
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8")
    except OSError:
        return _began(pid)
    fields = text.rpartition(")")[2].split()
    return "gone" if fields[0] in "ZX" else fields[19]


def _began(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        is_gone = process.status() == psutil.STATUS_ZOMBIE
        return "gone" if is_gone else f"{process.create_time():.2f}"
    except psutil.Error:
        return None
