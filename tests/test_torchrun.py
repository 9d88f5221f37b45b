"""train.py started by torchrun, as a person does, with processes that are killed."""

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.forking import ForkedProgram
from tests.run_programs import ROOT, TINY, run, train, weights_digest

pytestmark = pytest.mark.slow


def torchrun_arguments(dataset: Path, runs: Path, *settings: str, restarts: int = 0) -> list[str]:
    return [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2",
        "--master_port=0", "--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0",
        f"--max-restarts={restarts}", "train.py", *TINY, "train.batch_size=2",
        f"data.path={dataset}", f"run.folder={runs}", "run.name=x", *settings,
    ]  # fmt: skip


def torchrun(dataset: Path, runs: Path, *settings: str, restarts: int = 0) -> subprocess.Popen[str]:
    """Start two processes that train as `train` does with twice their batch."""
    return ForkedProgram(
        torchrun_arguments(dataset, runs, *settings, restarts=restarts),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def ended(process: subprocess.Popen[str]) -> str:
    text, _ = process.communicate(timeout=400)
    assert process.returncode == 0, text
    return text


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_two_processes_train_as_one(dataset: Path, tmp_path: Path) -> None:
    settings = ("train.epochs=1", "train.optimizer={name: sgd, lr: 0.01}", "train.warmup.epochs=0")
    alone = train(dataset, tmp_path / "alone", *settings)
    text = ended(torchrun(dataset, tmp_path / "two", *settings, "train.sync_batchnorm=true"))
    joint = tmp_path / "two" / "x"
    assert {path.name for path in joint.iterdir()} == {path.name for path in alone.iterdir()}
    assert text.count("Saving results to") == 1
    for one, other in zip(rows(alone), rows(joint), strict=True):
        for column in ("box", "objectness", "classification", "foreground"):
            assert float(other[column]) == pytest.approx(float(one[column]), rel=1e-3), column
    val = run("val.py", "--weights", joint / "best.safetensors")
    assert val.returncode == 0, val.stderr


def test_a_killed_process_leads_to_a_restart_that_finishes(dataset: Path, tmp_path: Path) -> None:
    settings = ("train.epochs=4", "run.checkpoint_minutes=0.0001")
    undisturbed = ended(torchrun(dataset, tmp_path / "straight", *settings))
    assert "resuming" not in undisturbed
    process = torchrun(dataset, tmp_path / "killed", *settings, restarts=2)
    run_folder = tmp_path / "killed" / "x"
    kill_one_child_once(process.pid, run_folder / "last")
    text = ended(process)
    assert "resuming at epoch" in text
    assert not (tmp_path / "killed" / "x-2").exists()
    assert [row["epoch"] for row in rows(run_folder)] == ["1", "2", "3", "4"]
    assert weights_digest(run_folder) == weights_digest(tmp_path / "straight" / "x")


def kill_one_child_once(parent: int, sign: Path) -> None:
    """Kill the second training process as soon as there is a checkpoint."""
    end = time.monotonic() + 400
    while not sign.is_dir():
        assert time.monotonic() < end, "no checkpoint came"
        time.sleep(0.02)
    os.kill(trainings_of(parent)[1], signal.SIGKILL)


def trainings_of(parent: int) -> list[int]:
    """Return the processes of torchrun by rank: in the order in which they were started."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    _server, *trainings = map(int, text.split())  # the first one is that which forks the others
    assert len(trainings) == 2
    return trainings


def test_a_mistake_is_said_once(dataset: Path, tmp_path: Path) -> None:
    process = torchrun(dataset, tmp_path, "train.epoch=3")
    text, _ = process.communicate(timeout=400)
    assert process.returncode != 0
    assert text.count("error: unknown key 'train.epoch'") == 1


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_stopped_process_is_named_and_an_interrupt_ends_all(
    rank: str, dataset: Path, tmp_path: Path
) -> None:
    """Rank 0 serves the others' store: where it is stopped, nobody can ask who stands still."""
    log = tmp_path / "log"
    with log.open("w") as output:
        process = ForkedProgram(
            torchrun_arguments(dataset, tmp_path, "train.epochs=500"),
            cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        wait_for(lambda: (tmp_path / "x" / "last").is_dir(), 400)
        time.sleep(5)  # signs of life are exchanged by now
        os.kill(trainings_of(process.pid)[int(rank)], signal.SIGSTOP)
        wait_for(lambda: f"process {rank} is stopped" in log.read_text(), 200)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=200)
        assert "stopped on request while process" in log.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(is_so: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
