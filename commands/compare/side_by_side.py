"""Timed trials: how long a step takes with a number of simultaneous runs and threads in each.

Each training is a process, as in the comparison. It is built once and measures on request; all
trainings of one trial are asked at the same moment.
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from commands.build.weights_size import with_size_of_weights
from commands.compare.measured_training import MeasuredTraining, StepTimes
from configs.reading.load import load_experiment
from utils.comparison.runs.execution import TriedWay, Way, fitting
from utils.runtime.die_with_parent import die_with_parent
from utils.runtime.errors import UserError
from utils.runtime.machine.threads import set_threads
from utils.runtime.program import program_file
from utils.runtime.progress import format_duration
from utils.runtime.seeding import set_deterministic

logger = logging.getLogger(__name__)

_MARK = "@ "
"""Begins an answer; libraries may write other lines."""
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The measurements of one trial."""

    way: Way
    times: StepTimes
    mean_s: float
    """Mean seconds of a step, which a whole run is made of."""
    steps: int
    """Of a run."""
    besides_s: float
    """Seconds of a run besides its steps: start and evaluations."""

    @property
    def tried(self) -> TriedWay:
        """The way with the time of a whole run."""
        return TriedWay(way=self.way, run_s=self.steps * self.mean_s + self.besides_s)


def measure_ways(experiment: Path, overrides: Sequence[str], ways: Sequence[Way]) -> list[Measured]:
    """Try ways one after the other; skip those whose runs do not fit into memory.

    Of ways with as many threads a run only the one with most runs at a time is tried that can be:
    fewer of them do not do more together.

    Args:
        experiment: YAML of the training that is tried.
        overrides: settings that go before it.
        ways: at least one.

    Raises:
        UserError: the training cannot be built.
    """
    free = int(psutil.virtual_memory().available)
    measured: list[Measured] = []
    with ExitStack() as stack:
        pool = _Pool(stack, experiment, overrides)
        began = time.monotonic()
        (built,) = pool.ask(Way(jobs=1, threads=min(ways).threads), "build")
        start_s = time.monotonic() - began
        pool.ask(Way(jobs=1, threads=min(ways).threads), "fill_cache")
        first: dict[str, Any] = {}
        for way in in_order(ways):
            if is_outdone(way, [one.way for one in measured]):
                continue
            if first and way not in fitting([way], free=free, each=first["memory"]):
                logger.info("not tried: %s, memory is too small", way)
                continue
            try:
                answers = pool.ask(way, "measure" if first else "measure all")
            except UserError as error:
                if not first:
                    raise
                logger.warning("%s: %s", way, error)
                continue
            first = first or answers[0]
            times = [seconds for answer in answers for seconds in answer["times"]]
            slower = _mean(times) / _mean(first["times"])
            measured.append(
                Measured(
                    way=way,
                    times=StepTimes.of(times),
                    mean_s=_mean(times),
                    steps=built["steps"],
                    besides_s=start_s + first["evaluations_s"] * slower,
                )
            )
            if len(ways) > 1:
                whole = format_duration(measured[-1].tried.run_s)
                logger.info("tried %s: %.3g s a step, %s a run", way, _mean(times), whole)
    return measured


def in_order(ways: Sequence[Way]) -> list[Way]:
    """Return the ways in the order of trials: the first tells what memory a run takes, then those
    with most threads, and among these with most runs at a time.
    """
    first = min(ways, key=lambda way: (way.jobs, -way.threads))
    others = sorted(ways, key=lambda way: (-way.threads, -way.jobs))
    return [first, *(way for way in others if way != first)]


def is_outdone(way: Way, others: Iterable[Way]) -> bool:
    """Tell whether one of the others has as many threads a run and more runs at a time."""
    return any(other.threads == way.threads and other.jobs > way.jobs for other in others)


def answer_questions(cfg: Path, overrides: Sequence[str]) -> None:
    """Build a training and measure it as the lines on stdin ask to, one JSON object each.

    `do` is build, fill_cache, or measure; `threads` is the number to compute with.

    Raises:
        UserError, ConfigError: something the user can fix.
    """
    answers, sys.stdout = sys.stdout, sys.stderr
    loaded = with_size_of_weights(load_experiment(cfg, overrides))
    set_deterministic(loaded.experiment.train.deterministic)
    training: MeasuredTraining | None = None
    try:
        for line in sys.stdin:
            question = json.loads(line)
            set_threads(question["threads"])
            training = training or MeasuredTraining(loaded)
            content: dict[str, Any] = {"steps": training.steps}
            if question["do"] == "fill_cache":
                training.fill_cache()
            elif question["do"] != "build":
                content["times"] = training.measure_steps()
                if question["do"] == "measure all":
                    content["evaluations_s"] = training.measure_evaluations()
            answers.write(f"{_MARK}{json.dumps(content | {'memory': _memory()})}\n")
            answers.flush()
    finally:
        if training is not None:
            training.close()


class _Training:
    """A training run in another process."""

    def __init__(self, process: "subprocess.Popen[str]", log: IO[bytes]) -> None:
        self._process, self._log = process, log

    def send(self, question: Mapping[str, object]) -> None:
        """Send a question; a process that has ended will not answer."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Return the answer.

        Raises:
            UserError: the training failed.
        """
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(_MARK):
                answer: dict[str, Any] = json.loads(line.removeprefix(_MARK))
                return answer
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines()
        raise UserError(f"a training could not be tried: {said[-1] if said else 'it was ended'}")


@contextmanager
def _training(command: Sequence[str]) -> Iterator[_Training]:
    """Start a training; end it however the block is left."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            die_with_parent(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
        )
        try:
            yield _Training(process, log)
        finally:
            _end(process)


def _end(process: "subprocess.Popen[str]") -> None:
    """Let a training end its workers and itself; kill it if it does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


class _Pool:
    """The trainings started so far, reused by later trials; they end with `stack`."""

    def __init__(self, stack: ExitStack, experiment: Path, overrides: Sequence[str]) -> None:
        program = str(program_file("compare"))
        self._command = [sys.executable, program, "try", "--cfg", str(experiment), *overrides]
        self._stack = stack
        self._trainings: list[_Training] = []

    def ask(self, way: Way, do: str) -> list[dict[str, Any]]:
        """Ask the trainings of a way at the same moment; return their answers.

        Raises:
            UserError: one of them failed.
        """
        while len(self._trainings) < way.jobs:
            self._trainings.append(self._stack.enter_context(_training(self._command)))
        if do != "build":
            self._ask(way, "build")
        return self._ask(way, do)

    def _ask(self, way: Way, do: str) -> list[dict[str, Any]]:
        asked = self._trainings[: way.jobs]
        for training in asked:
            training.send({"do": do, "threads": way.threads})
        return [training.receive() for training in asked]


def _mean(times: Sequence[float]) -> float:
    return sum(times) / len(times)


def _memory() -> int:
    """Return the bytes of memory that this process and its workers do not share with others."""
    own = psutil.Process()
    total = own.memory_info().rss
    for child in own.children(recursive=True):
        try:
            total += getattr(child.memory_full_info(), "uss", 0)
        except psutil.Error:
            continue  # it has ended
    return int(total)
