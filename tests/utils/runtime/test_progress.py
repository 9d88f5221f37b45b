import io
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from tqdm import tqdm

from utils.runtime.progress import format_duration, in_notebook, progress_bar, start_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (3600, "1:00:00"),
        (90061, "25:01:01"),
        (-3, "0:00"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_bar_shows_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar("epoch 2/3", total=10, initial=4) as bar:
            bar.set_postfix_str("box 0.1", refresh=True)
        text = stream.getvalue()
        assert ("epoch 2/3" in text) is shown
        assert ("4/10" in text) is shown
        assert ("box 0.1" in text) is shown


def test_a_notebook_shows_bars_although_it_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, shown in (("IPKernelApp", True), ("TerminalIPythonApp", False)):
        shell = SimpleNamespace(config={name: {}})
        fake = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", fake)
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar("images", total=3, over="abc") as bar:
            assert list(bar) == ["a", "b", "c"]
        assert ("images" in stream.getvalue()) is shown
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    handlers, level = list(logger.handlers), logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def test_log_lines_are_bare_and_warnings_marked_once(
    root: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging()
    start_logging()
    logging.getLogger("utils.engine").info("epoch 1/3")
    logging.getLogger("utils.engine").warning("file is damaged")
    logging.getLogger("utils.engine").debug("detail")
    assert capsys.readouterr().err == "epoch 1/3\nwarning: file is damaged\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_killed_while_it_writes_a_line_stops_no_other(root: logging.Logger) -> None:
    start_logging()
    logging.getLogger("utils.engine").info("before")  # tqdm makes its locks at the first line
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        tqdm.get_lock().acquire()
        os.write(writing, b"taken")
        time.sleep(60)
        os._exit(0)
    os.read(reading, 5)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lock = tqdm.get_lock()
    assert lock.acquire(timeout=1)
    lock.release()
    logging.getLogger("utils.engine").info("after")
