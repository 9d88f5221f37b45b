"""Starts Python programs as forks of a process that has imported what they need already.

To its parent such a program is a process like any other: it can be waited for, stopped and killed,
alone or with its group. It is born as the child of a child of the serving process, a descendant of
whoever asks, and becomes the asker's own when that one in between ends (PR_SET_CHILD_SUBREAPER).
Linux only; elsewhere, and for whatever is not a script or a module of Python, it is started anew.
"""

import ctypes
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[1]
_PARENT_DEATH_SIGNAL, _SUBREAPER = 1, 36
"""Options of prctl(2)."""
_LONGEST = 2**20
_ORDER = threading.Lock()


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl failed")


class ForkedProgram(subprocess.Popen[str]):
    """What subprocess.Popen is, for `[sys.executable, PROGRAM, ...]`."""

    def _execute_child(self, *arguments: Any) -> None:
        fork_instead(_server(), self, *arguments)


@cache
def _server() -> socket.socket:
    """Return the connection to this process's server, which ends when it does."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.Popen(
        [sys.executable, "-m", "tests.program_server", str(there.fileno())],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # Libraries start threads when they are imported, and what has threads cannot be forked.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        pass_fds=[there.fileno()],
    )
    there.close()
    return here


@contextmanager
def forked_programs() -> Iterator[None]:
    """Let programs that this process starts by subprocess.Popen be forks where they can be."""
    fork_programs_through(_server())
    try:
        yield
    finally:
        subprocess.Popen._execute_child = _start_anew  # type: ignore[attr-defined]


def fork_programs_through(server: socket.socket) -> None:
    """Let everything that this process starts by subprocess.Popen be a fork where it can be."""
    subprocess.Popen._execute_child = (  # type: ignore[attr-defined]
        lambda self, *arguments: fork_instead(server, self, *arguments)
    )


_start_anew = subprocess.Popen._execute_child  # type: ignore[attr-defined]
_names = list(inspect.signature(_start_anew).parameters)


def fork_instead(server: socket.socket, process: Any, *arguments: Any) -> None:
    """Do what Popen._execute_child does, by a request to the server where that can serve it."""
    given = dict(zip(_names[1:], arguments, strict=True))
    command: Any = given["args"]
    words = [] if isinstance(command, str | bytes | Path) else [os.fsdecode(w) for w in command]
    is_plain = not (given["preexec_fn"] or given["pass_fds"] or given["shell"])
    if sys.platform != "linux" or not is_plain or not _is_program(words):
        _start_anew(process, *arguments)
        return
    environment = os.environ if given["env"] is None else given["env"]
    request = {
        "command": words[1:],
        "folder": os.fspath(given["cwd"] or Path.cwd()),
        "environment": {os.fsdecode(k): os.fsdecode(v) for k, v in environment.items()},
        "new_session": given["start_new_session"],
        "interruptible": signal.getsignal(signal.SIGINT) is not signal.SIG_IGN,
        "parent": os.getpid(),
    }
    ends = [given[end] for end in ("p2cread", "c2pwrite", "errwrite")]
    streams = [number if end == -1 else end for number, end in enumerate(ends)]
    with _ORDER:
        _prctl(_SUBREAPER, 1)
        socket.send_fds(server, [json.dumps(request).encode()], streams)
        answer = server.recv(_LONGEST)
        _prctl(_SUBREAPER, 0)
    if not answer:
        raise RuntimeError("the server of programs has ended")
    process.pid = int(answer)
    process._child_created = True
    pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
    process._close_pipe_fds(*(given[name] for name in pipes))


def _is_program(words: list[str]) -> bool:
    if not words or words[0] != sys.executable:
        return False
    if words[1:2] == ["-I"]:  # utils/runtime/die_with_parent.py, then the program
        return _is_program(words[4:])
    return words[1:2] == ["-m"] or (len(words) > 1 and words[1].endswith(".py"))


def next_request(connection: socket.socket) -> dict[str, Any]:
    """Serve: return in a process of its own for each request, streams and folder as asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides what an interrupt ends
    while True:
        data, streams, *_ = socket.recv_fds(connection, _LONGEST, 3)
        if not data:
            os._exit(0)
        between = os.fork()
        if between == 0:
            break
        for stream in streams:
            os.close(stream)
        os.waitpid(between, 0)
    if os.fork():
        os._exit(0)
    request: dict[str, Any] = json.loads(data)
    while os.getppid() != request["parent"]:
        time.sleep(0.0005)
    if request["new_session"]:
        os.setsid()
    connection.send(str(os.getpid()).encode())
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    if request["interruptible"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    return request


class Replaced(BaseException):
    """The program is replaced by another one."""

    def __init__(self, command: list[str]) -> None:
        super().__init__()
        self.command = command


def replace(_path: Any, command: Any) -> NoReturn:
    """Stand in for os.execv."""
    raise Replaced(command[1:])


def own_server(request: dict[str, Any]) -> socket.socket | None:
    """Fork a server for what this program will start; return its connection, None in the server.

    Only that is left in the server: the caller serves next.
    """
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        there.close()
        return here
    here.close()
    _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    request["connection"] = there
    return None


COMMAND = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
    server.connect({address!r})
    request = {{"words": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
    socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
    sys.exit(int(server.recv(99)))
"""


@contextmanager
def python_that_forks(folder: Path) -> Iterator[Path]:
    """Give a folder for $PATH with a command `python` that runs what it is given as a fork."""
    folder.mkdir()
    if sys.platform != "linux":
        (folder / "python").symlink_to(sys.executable)
        yield folder
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(address := tempfile.mktemp(prefix="python-"))
        server.listen()
        (folder / "python").write_text(COMMAND.format(python=sys.executable, address=address))
        (folder / "python").chmod(0o755)
        threading.Thread(target=_serve_commands, args=(server,), daemon=True).start()
        try:
            yield folder
        finally:
            server.shutdown(socket.SHUT_RDWR)


def _serve_commands(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # it was shut down
            return
        threading.Thread(target=_run_command, args=(connection,), daemon=True).start()


def _run_command(connection: socket.socket) -> None:
    with connection:
        data, streams, *_ = socket.recv_fds(connection, _LONGEST, 3)
        request = json.loads(data)
        process = ForkedProgram(
            [sys.executable, *request["words"]],
            cwd=request["folder"],
            env=request["environment"],
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            text=True,
        )
        for stream in streams:
            os.close(stream)
        connection.send(str(process.wait()).encode())
