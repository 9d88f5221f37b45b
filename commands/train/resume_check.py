"""Training runs killed at random moments and resumed, compared with an uninterrupted one.

Each run is a process of its own, as on the command line; a kill is SIGKILL to it and its workers.
"""

import logging
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from configs.origins import CONFIGS_FOLDER
from configs.reading.load import load_experiment
from utils.checkpoint.weights import load_weights
from utils.runtime.errors import UserError
from utils.runtime.files.download import file_sha256
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.machine.load import choose_threads
from utils.runtime.program import program_file

logger = logging.getLogger(__name__)

PROGRAM = program_file("train")
QUICKSTART = CONFIGS_FOLDER / "quickstart.yaml"
TINY = (
    "data.train_images=16", "data.val_images=6", "data.test_images=0", "data.side=96",
    "train.image_size=96", "train.batch_size=4", "train.nominal_batch=8", "train.epochs=6",
    "train.patience=4", "augment.mosaic=0.5", "augment.close_mosaic=1", "eval.interval=1",
    "run.checkpoint_minutes=0.001",
)  # fmt: skip
"""Settings for a training run of seconds with everything that has a state: mosaic, average,
accumulation, early stopping, a checkpoint every few batches."""
POLL_S = 0.0005
MAX_WRITES_AWAITED = 12
"""A kill inside a write waits for at most this many checkpoints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A finished training run."""

    digest: str
    """SHA-256 of the file with the best weights."""
    kills: tuple[str, ...]
    """When it was killed, in words."""
    seconds: float
    """From start to end, kills included."""


class Process(Protocol):
    """A started training, leader of a process group of its own."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        ...

    def wait(self) -> int:
        """Return the exit code, once it has ended."""
        ...


Launch = Callable[[list[str], Path], Process]
"""Starts train.py with arguments; its output is appended to a file."""


def launch_program(arguments: list[str], log: Path) -> Process:
    """Start train.py as on the command line."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), *arguments],
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


class KillableTraining:
    """One run in `folder`/x, started and resumed until it ends."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, launch: Launch = launch_program
    ) -> None:
        """Prepare.

        Args:
            arguments: of train.py, without folder and name of the run.
            folder: is created; contains the run and a log of all processes.
            launch: starts a process.
        """
        folder.mkdir(parents=True)
        self._launch = launch
        self._run = RunFolder(folder / "x")
        self._log = folder / "log.txt"
        self._first = [*arguments, f"run.folder={folder}", "run.name=x"]

    def finish(
        self, kills: int = 0, *, draw: random.Random | None = None, usual_s: float = 0.0
    ) -> FinishedRun:
        """Train to the end; on the way, kill up to `kills` times at moments that `draw` picks.

        `usual_s` is how long an undisturbed training takes.

        Raises:
            UserError: the training failed by itself; the log says why.
        """
        began, done = time.monotonic(), []
        for _ in range(kills):
            process = self._start()
            moment = self._kill_somewhen(process, draw or random.Random(0), usual_s)
            if moment is None:
                break
            done.append(moment)
        else:
            self._wait(self._start())
        return FinishedRun(
            digest=_whole_digest(self._run.best),
            kills=tuple(done),
            seconds=time.monotonic() - began,
        )

    def _start(self) -> Process:
        if not self._run.config.is_file():
            shutil.rmtree(self._run.path, ignore_errors=True)  # killed before it had begun
        is_resumed = self._run.path.is_dir()
        arguments = ["--resume", str(self._run.path)] if is_resumed else self._first
        return self._launch(arguments, self._log)

    def _wait(self, process: Process) -> None:
        if process.wait() != 0:
            lines = self._log.read_text(errors="replace").strip().splitlines()
            raise UserError(f"the training failed: {lines[-1] if lines else 'no output'}")

    def _kill_somewhen(self, process: Process, draw: random.Random, usual_s: float) -> str | None:
        """Kill at a time or inside a write; return when, None if the training was faster."""
        if draw.random() < 0.5:
            seconds = draw.uniform(0.0, usual_s)
            end = time.monotonic() + seconds
            moment, is_due = f"after {seconds:.2f} s", lambda: time.monotonic() >= end
        else:
            awaited = draw.randint(1, MAX_WRITES_AWAITED)
            moment, is_due = f"in checkpoint {awaited}", self._is_writing(awaited, draw)
        while process.poll() is None:
            if is_due():
                _kill_group(process.pid)
                process.wait()
                return moment
            time.sleep(POLL_S)
        self._wait(process)
        return None

    def _is_writing(self, awaited: int, draw: random.Random) -> Callable[[], bool]:
        """Return a test that is true shortly after the `awaited`-th checkpoint was begun."""
        fresh = self._run.last.with_name(f"{self._run.last.name}.new")
        begun, was_there = 0, False

        def is_due() -> bool:
            nonlocal begun, was_there
            is_there = fresh.is_dir()
            begun += is_there and not was_there
            was_there = is_there
            if begun < awaited:
                return False
            time.sleep(draw.uniform(0.0, 0.01))
            return True

        return is_due


def _whole_digest(path: Path) -> str:
    """Return the SHA-256 of a weights file that is whole: equal runs write equal bytes."""
    load_weights(path)
    return file_sha256(path)


def verify_resume(cfg: Path | None, overrides: Sequence[str], *, kills: int = 3) -> str:
    """Train twice, straight and with kills; return one line that says that the weights are equal.

    Args:
        cfg: the experiment; None for a tiny one on generated images.
        overrides: settings that go before it.
        kills: most kills on the way.

    Raises:
        UserError: the weights differ, or a training run failed; both runs are kept then.
    """
    folder = Path(tempfile.mkdtemp(prefix="verify-resume-"))
    arguments = ["--cfg", str(cfg or QUICKSTART)]
    if cfg is None:
        arguments += [*TINY, f"data.path={folder / 'images'}"]
    arguments += overrides
    if load_experiment(cfg or QUICKSTART, arguments[2:]).experiment.train.threads == "auto":
        # Chosen twice it could differ, and with it the last digits of sums.
        arguments.append(f"train.threads={choose_threads().threads}")
    logger.info("training straight, then with up to %d kills, in %s", kills, folder)
    straight = KillableTraining(arguments, folder / "straight").finish()
    killed = KillableTraining(arguments, folder / "killed").finish(
        kills, draw=random.Random(straight.digest), usual_s=straight.seconds
    )
    story = f"killed {len(killed.kills)} times ({', '.join(killed.kills) or 'it was too fast'})"
    if killed.digest != straight.digest:
        raise UserError(f"resume is NOT exact: {story}, the weights differ; see {folder}")
    shutil.rmtree(folder)
    return f"resume is exact: {story}, same weights, sha256 {straight.digest[:16]}"


def _kill_group(pid: int) -> None:
    """Kill a process and its workers; right after its start it leads no group of its own yet."""
    own = psutil.Process(pid)
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            process.kill()
