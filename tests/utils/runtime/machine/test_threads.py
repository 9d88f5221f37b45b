import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import utils.runtime.machine.threads as threads_module
from utils.runtime.machine.threads import (
    available_cores,
    loader_workers,
    prepare_environment,
    set_threads,
)


@pytest.fixture(autouse=True)
def _restore_threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def set_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, cores: int, quota: str = "max 100000"
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    (tmp_path / "cpu.max").write_text(quota + "\n")
    monkeypatch.setattr(threads_module, "CGROUP_QUOTA", tmp_path / "cpu.max")


@pytest.mark.parametrize(
    ("cores", "threads", "processes", "expected"),
    [
        (8, 0, 1, 8),
        (2, "auto", 1, 2),
        (4, "adaptive", 1, 4),
        (8, 0, 3, 2),
        (2, 0, 4, 1),
        (8, 3, 1, 3),
        (2, 5, 2, 5),
    ],
)
def test_threads_take_all_cores_or_a_share(
    cores: int,
    threads: int,
    processes: int,
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    set_machine(monkeypatch, tmp_path, cores=cores)
    assert set_threads(threads, processes=processes) == expected  # type: ignore[arg-type]
    assert torch.get_num_threads() == expected


@pytest.mark.parametrize(
    ("stated", "processes", "expected"), [("3", 1, 3), ("1", 1, 1), ("1", 2, 4), ("4,2", 1, 8)]
)
def test_the_usual_variable_is_heard_in_a_single_process(
    stated: str, processes: int, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", stated)
    set_machine(monkeypatch, tmp_path, cores=8)
    assert set_threads(0, processes=processes) == expected


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("1 100000", 1), ("", 8)],
)
def test_a_container_may_grant_fewer_cores(
    quota: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_machine(monkeypatch, tmp_path, cores=8, quota=quota)
    assert available_cores() == expected


def test_systems_without_affinity_count_all_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1


def test_waiting_threads_sleep_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    prepare_environment()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_the_environment_can_be_prepared_before_torch_is_loaded() -> None:
    code = (
        "import sys; from utils.runtime.machine.threads import prepare_environment; "
        "from utils.runtime.command import run_command; "
        "from utils.runtime.files.run_folder import claim_run_folder; "
        "prepare_environment(); print('torch' in sys.modules)"
    )
    root = Path(__file__).parents[4]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("cores", "device", "processes", "workers"),
    [
        (1, "cpu", 1, 1), (2, "cpu", 1, 2), (8, "cpu", 1, 3), (16, "cpu", 1, 4), (64, "cpu", 1, 8),
        (4, "cuda", 1, 4), (64, "cuda", 1, 8), (16, "cuda", 4, 4), (2, "cuda", 4, 1),
    ],
)  # fmt: skip
def test_workers_by_cores(
    cores: int,
    device: str,
    processes: int,
    workers: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    set_machine(monkeypatch, tmp_path, cores=cores)
    assert loader_workers("auto", device, processes=processes) == workers
    assert loader_workers(0, device, processes=processes) == 0
    assert loader_workers(11, device, processes=processes) == 11
