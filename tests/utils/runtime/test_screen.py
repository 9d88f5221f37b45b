"""A log that nobody reads stops nobody."""

import io
import os
import time
from pathlib import Path

import pytest

from utils.runtime.screen import WAIT_S, Screen


@pytest.mark.slow
def test_a_silent_reader_costs_lines_and_not_time() -> None:
    reading, writing = os.pipe()
    screen = Screen()
    with os.fdopen(writing, "w") as stream:
        began = time.monotonic()
        results = [screen.write("x" * 2000, stream) for _ in range(200)]
        assert results[0]
        assert not results[-1]
        assert time.monotonic() - began < WAIT_S + 5
        os.read(reading, 1 << 20)
        assert screen.write("again", stream)
        told = os.read(reading, 1 << 20).decode()
        assert "lines were not written: nobody read them" in told
        assert told.endswith("again\n")
        os.close(reading)
        assert not screen.write("gone", stream)


def test_a_stream_that_is_no_file_gets_its_lines_itself(tmp_path: Path) -> None:
    class Cell(io.StringIO):
        def fileno(self) -> int:
            return terminal.fileno()  # as in a notebook, where it is that of the kernel's log

    with (tmp_path / "terminal").open("w") as terminal:
        cell = Cell()
        assert Screen().write("epoch 1/3", cell)
    assert cell.getvalue() == "epoch 1/3\n"
    assert (tmp_path / "terminal").read_text() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_and_no_stream_are_no_matter() -> None:
    screen = Screen()
    with open("/dev/full", "w", buffering=1) as stream:
        assert not screen.write("x", stream)
    assert not screen.write("x", None)
    assert not screen.write("x", stream)  # closed
