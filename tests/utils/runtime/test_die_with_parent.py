"""Programs end with their parent, and are otherwise what they are alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from utils.runtime.die_with_parent import die_with_parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")

PARENT = """
import subprocess, sys, time
from utils.runtime.die_with_parent import die_with_parent
child = subprocess.Popen(die_with_parent([sys.executable, "-c", "import time; time.sleep(100)"]))
print(child.pid, flush=True)
time.sleep(100)
"""


def test_output_and_exit_code_are_the_programs_own() -> None:
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "a b", "--c"]
    done = subprocess.run(die_with_parent(command), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "['a b', '--c']\n")


@pytest.mark.slow
def test_it_ends_when_its_parent_is_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while b"die_with_parent" in Path(f"/proc/{child}/cmdline").read_bytes():
        time.sleep(0.02)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{child}").exists()


def test_an_orphan_does_not_start() -> None:
    command = die_with_parent([sys.executable, "-c", "print('started')"])
    command[3] = "1"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
