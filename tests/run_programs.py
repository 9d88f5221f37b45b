"""Running the entry points as a person does."""

import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from configs.schema.data import SyntheticDataset
from data.synthetic.generate import ensure_written
from utils.checkpoint.weights import load_weights

ROOT = Path(__file__).parents[1]
LIMIT_S = 800
"""Seconds after which a program hangs, even on a busy machine."""
TINY = (
    "--cfg", "configs/quickstart.yaml", "data.train_images=12", "data.val_images=6",
    "data.test_images=3", "data.side=96", "train.image_size=96", "train.batch_size=4",
    "train.nominal_batch=8", "train.workers=0", "train.threads=1", "train.precision=float32",
    "augment.mosaic=0.5", "eval.interval=1",
)  # fmt: skip
"""Arguments of train.py for a training of seconds."""


def run(
    program: str,
    *arguments: object,
    folder: Path = ROOT,
    fresh: bool = False,
    limit_s: float = LIMIT_S,
) -> subprocess.CompletedProcess[str]:
    """Run an entry point to its end and return what it said.

    Where processes can be forked, it need not import torch anew (tests/program_server.py).

    Args:
        program: file name of the entry point.
        arguments: of its command line.
        folder: in which it is run.
        fresh: start Python anew, as a person does.
        limit_s: seconds after which it is ended.
    """
    command = [str(ROOT / program), *map(str, arguments)]
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
    if not fresh and sys.platform == "linux":
        return _program_server().run(command, folder, environment, limit_s)
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit_s,
        env=environment,
    )


class _ProgramServer:
    """A process of tests/program_server.py. It ends when this one does, which holds its input."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.program_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, command: list[str], folder: Path, environment: dict[str, str], limit_s: float
    ) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as place:
            paths = {name: Path(place, name) for name in ("output", "errors")}
            for path in paths.values():
                path.touch()
            request = {"command": command, "folder": str(folder), "environment": environment}
            child = int(self._ask(request | {name: str(path) for name, path in paths.items()}))
            late = threading.Event()
            killer = threading.Timer(limit_s, _kill, (child, late))
            killer.start()
            try:
                code = int(self._answer())
            finally:
                killer.cancel()
            said = {name: path.read_text() for name, path in paths.items()}
        if late.is_set():
            raise subprocess.TimeoutExpired(command, limit_s, said["output"], said["errors"])
        return subprocess.CompletedProcess(command, code, said["output"], said["errors"])

    def _ask(self, request: dict[str, object]) -> str:
        assert self._process.stdin is not None
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def _kill(process: int, late: threading.Event) -> None:
    late.set()
    os.kill(process, signal.SIGKILL)


@functools.cache
def _program_server() -> _ProgramServer:
    return _ProgramServer()


def train(dataset: Path, runs: Path, *settings: str, fresh: bool = False) -> Path:
    """Train on the generated data in `dataset`; return the run's folder."""
    place = (f"data.path={dataset}", f"run.folder={runs}", "run.name=x")
    done = run("train.py", *TINY, *place, *settings, fresh=fresh)
    assert done.returncode == 0, done.stderr
    return runs / "x"


STOP = """
import os
import signal
from pathlib import Path


class Stop:
    def __init__(self, number, batches, sign):
        self.number, self.batches, self.sign = signal.Signals(number), batches, Path(sign)

    def after_step(self, run, losses):
        self.batches -= 1
        if self.batches == 0 and not self.sign.exists():
            self.sign.touch()
            os.killpg(os.getpgrp(), self.number)
"""
"""A user's hook that sends its process and all workers a signal, once."""


def train_until_stopped(
    folder: Path, number: signal.Signals, *arguments: object, batches: int = 5
) -> subprocess.CompletedProcess[str]:
    """Run train.py in a process group that gets a signal after so many batches."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "stop_of_a_test.py").write_text(STOP)
    stop = {"number": int(number), "batches": batches, "sign": str(folder / "signal_sent")}
    hooks = json.dumps([{"name": "stop_of_a_test.Stop", **stop}])
    command = [sys.executable, "train.py", *map(str, arguments), f"hooks={hooks}"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert (folder / "signal_sent").is_file(), done.stderr
    return done


def write_dataset(folder: Path) -> Path:
    """Write the generated data that `TINY` trains on; return the folder."""
    ensure_written(
        SyntheticDataset(
            format="synthetic",
            path=str(folder),
            train_images=12,
            val_images=6,
            test_images=3,
            side=96,
        )
    )
    return folder


def weights_digest(folder: Path) -> str:
    """Return a hash over names and values of the best weights of a run."""
    tensors, _ = load_weights(folder / "best.safetensors")
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()
