"""Running the entry points as a person does."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from configs.schema.data import SyntheticDataset
from data.synthetic.generate import ensure_written
from tests.forking import ForkedProgram
from utils.checkpoint.weights import load_weights

ROOT = Path(__file__).parents[1]
LIMIT_S = 800
"""Seconds after which a program hangs, even on a busy machine."""
TINY_NETWORK = ROOT / "tests" / "tiny_network.yaml"
TINY = (
    "--cfg", "configs/quickstart.yaml", "data.train_images=12", "data.val_images=6",
    "data.test_images=3", "data.side=96", "train.image_size=96", "train.batch_size=4",
    "train.nominal_batch=8", "train.workers=0", "train.threads=1", "train.precision=float32",
    "augment.mosaic=0.5", "eval.interval=1", "train.optimizer.lr=0.004",
    f"model.graph={TINY_NETWORK}",
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

    Where processes can be forked, it need not import torch anew (tests/forking.py).

    Args:
        program: file name of the entry point.
        arguments: of its command line.
        folder: in which it is run.
        fresh: start Python anew, as a person does.
        limit_s: seconds after which it is ended.
    """
    start = subprocess.Popen[str] if fresh else ForkedProgram
    with start(
        [sys.executable, str(ROOT / program), *map(str, arguments)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    ) as process:
        try:
            output, errors = process.communicate(timeout=limit_s)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


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
    with ForkedProgram(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    ) as process:
        output, errors = process.communicate(timeout=LIMIT_S)
    assert (folder / "signal_sent").is_file(), errors
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


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
