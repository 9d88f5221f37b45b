"""What Windows and macOS lack, taken away here: signals, /proc, /dev/shm, fork."""

import multiprocessing
import os
import signal
import subprocess
import sys
import webbrowser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from commands.train import report
from data.loading import worker_watch
from data.loading.worker_watch import fitting_workers, free_shared_memory
from utils.comparison.runs import run_locks
from utils.comparison.runs.run_locks import is_claimed, take_claim
from utils.engine.precision import choose_precision
from utils.runtime.files.cache_folder import user_cache_folder
from utils.runtime.interrupt import StopRequest
from utils.runtime.machine import device as machine
from utils.runtime.machine import process_state, threads


@pytest.fixture
def no_proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_locks, "PROC", tmp_path / "no-proc")


@pytest.fixture
def no_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows, os.kill(pid, 0) sends Ctrl-C and other numbers end the process."""

    real = os.kill

    def kill(pid: int, number: int) -> None:
        if sys._getframe(1).f_globals["__name__"].startswith("psutil"):
            real(pid, number)  # which has another way on Windows
            return
        raise AssertionError(f"os.kill({pid}, {number})")

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.delattr(os, "killpg")


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


@pytest.mark.usefixtures("no_proc", "no_kill")
def test_claims_live_as_long_as_their_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert take_claim(tmp_path, "x") is not None
    assert is_claimed(tmp_path, "x")
    assert take_claim(tmp_path, "x") is None
    gone = ended_process()
    monkeypatch.setattr(os, "getpid", lambda: gone)
    assert take_claim(tmp_path, "y") is not None
    assert not is_claimed(tmp_path, "y")
    assert take_claim(tmp_path, "y") is not None


@pytest.mark.usefixtures("no_proc")
def test_a_later_process_with_the_same_number_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert take_claim(tmp_path, "x") is not None
    began = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: began + 100)
    assert not is_claimed(tmp_path, "x")


@pytest.mark.slow
@pytest.mark.usefixtures("no_kill")
def test_a_group_of_processes_is_killed_without_groups() -> None:
    from commands.train.resume_check import _kill_group

    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE) as process:
        own = psutil.Process(process.pid)
        while not own.children():
            pass
        (grandchild,) = own.children()
        _kill_group(process.pid)
        process.wait(timeout=30)
        psutil.wait_procs([grandchild], timeout=30)
        assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_no_shared_memory_to_look_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(worker_watch, "SHARED_MEMORY", tmp_path / "none")
    assert free_shared_memory() is None
    assert fitting_workers(4, 1 << 30).workers == 4
    monkeypatch.delattr(os, "statvfs")
    assert free_shared_memory() is None


def test_a_request_to_stop_needs_only_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.runtime.interrupt.SIGNALS", (signal.SIGINT,))
    monkeypatch.delattr(signal, "SIGHUP")
    with StopRequest() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked.requested


def test_states_cores_and_arithmetic_without_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "none")
    monkeypatch.setattr(threads, "CGROUP_QUOTA", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert threads.available_cores() == os.cpu_count()
    assert process_state.process_state(-1) == "?"
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) is None
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True, raising=False)
    assert choose_precision("auto", cpu) is torch.bfloat16


def test_caches_lie_where_the_system_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FOCALDET_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache_folder() == tmp_path / "focaldet"
    monkeypatch.setenv("FOCALDET_CACHE", str(tmp_path / "own"))
    assert user_cache_folder() == tmp_path / "own"


@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_report_opens_without_linux_tools(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setattr("shutil.which", lambda name: None)
    folder: Any = SimpleNamespace(report=tmp_path / "report.html")
    monkeypatch.setattr(sys, "platform", "linux")
    report.open_report(folder)
    assert opened == []
    monkeypatch.setattr(sys, "platform", system)
    report.open_report(folder)
    assert opened == [(tmp_path / "report.html").resolve().as_uri()]


SPAWNED = """
import multiprocessing, sys
from pathlib import Path
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[2], force=True)
    for name in ("fork", "register_at_fork", "sched_getaffinity", "killpg"):
        import os
        if sys.argv[2] == "spawn" and name not in ("fork", "register_at_fork"):
            delattr(os, name)
    from commands.train.run import train
    from configs.reading.load import load_experiment
    settings = ["data.train_images=8", "data.val_images=2", "data.test_images=0", "data.side=64",
        "train.image_size=64", "train.batch_size=4", "train.epochs=1", "train.workers=1"]
    root = Path(sys.argv[1])
    settings += [f"run.folder={root / 'runs'}", "run.name=x", f"data.path={root / 'images'}"]
    print(train(load_experiment("quickstart.yaml", settings)).results.is_file())
"""


@pytest.mark.slow
@pytest.mark.skipif("spawn" not in multiprocessing.get_all_start_methods(), reason="no spawn")
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_training_whose_workers_are_started_anew(method: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SPAWNED)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), method],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.stdout.strip() == "True", done.stderr[-2000:]
