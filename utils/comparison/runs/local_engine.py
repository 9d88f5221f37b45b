"""Executes runs in processes of this machine, several at once; other machines may join."""

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from utils.comparison.runs.plan import PlannedRun
from utils.comparison.runs.run_locks import Claim, take_claim
from utils.comparison.runs.time_left import (
    Progress,
    read_progress,
    run_seconds_left,
    time_left,
)
from utils.runtime.die_with_parent import die_with_parent
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_json
from utils.runtime.files.json_file import read_json_object
from utils.runtime.interrupt import StopRequest
from utils.runtime.progress import format_duration

logger = logging.getLogger(__name__)

POLL_S = 0.2
SAY_EVERY_S = 600.0
"""Seconds between two lines on what is left while no run ends."""
RENEW_S = 20.0
OTHERS_S = 5.0
"""Seconds between two checks of runs that others work on."""
MESSAGE_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that ended in an error; the others continue."""

    key: str
    title: str
    message: str
    """Last lines it wrote."""


@dataclass(slots=True, eq=False)
class _Worker:
    run: PlannedRun
    claim: Claim
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    started: float
    before: Progress | None
    """How far the run was at this start; None for a fresh one."""
    renewed: float = field(default_factory=time.monotonic)


@dataclass(kw_only=True, eq=False)
class LocalEngine:
    """Executes every run once, also if others work on `folder`.

    `check` is called repeatedly and may raise to end everything. `extra` settings have no influence
    on results, but for the number of threads and its last digits.
    """

    folder: Path
    """Of the comparison; claims, logs and failures are in it."""
    jobs: int
    check: Callable[[], None] = lambda: None
    extra: tuple[str, ...] = ()
    expected_s: float | None = None
    """Seconds of a whole run by a forecast, until runs have ended; None without one."""

    def __post_init__(self) -> None:
        self._workers: list[_Worker] = []
        self._failures: dict[str, Failure] = {}
        self._durations: list[float] = []
        self._total = self._done = 0
        self._said = time.monotonic()

    def run(self, runs: Sequence[PlannedRun]) -> list[Failure]:
        """Execute the runs; return those that failed.

        Raises:
            KeyboardInterrupt: asked to stop; the training runs saved their state.
        """
        self._forget_failures(runs)
        pending = [run for run in runs if not run.is_done]
        self._total, self._done = len(runs), len(runs) - len(pending)
        looked_at, self._said = -OTHERS_S, time.monotonic()
        try:
            with StopRequest() as stop:
                while pending or self._workers:
                    if stop.requested:
                        raise KeyboardInterrupt("stopped; the same command continues from here")
                    if self._end_finished() or time.monotonic() - looked_at >= OTHERS_S:
                        pending = self._start_what_is_free(pending)
                        looked_at = time.monotonic()
                    self._say_what_is_left()
                    self._renew()
                    self.check()
                    time.sleep(POLL_S)
        finally:
            self._stop_workers()
        return [self._failures[run.key] for run in runs if run.key in self._failures]

    def _start_what_is_free(self, pending: list[PlannedRun]) -> list[PlannedRun]:
        """Start as many runs as there are free jobs; return those that still wait."""
        waiting = []
        for run in pending:
            if run.is_done or self._has_failed(run):
                continue
            is_free = len(self._workers) < self.jobs
            if not is_free or not self._claim_and_start(run):
                waiting.append(run)
        return waiting

    def _claim_and_start(self, run: PlannedRun) -> bool:
        claim = take_claim(self.folder / "claims", run.key)
        if claim is None:
            return False
        self._start(run, claim, before=read_progress(run.folder))
        return True

    def _start(
        self,
        run: PlannedRun,
        claim: Claim,
        began: float | None = None,
        before: Progress | None = None,
    ) -> None:
        """Start the next program of a run; without one the run is done."""
        command = run.next_command(self.extra)
        if command is None:
            claim.release()
            return
        path = self.log_of(run.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        run.folder.parent.mkdir(parents=True, exist_ok=True)
        log = path.open("ab")
        process = subprocess.Popen(
            die_with_parent(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        claim.renew(process.pid)
        self._workers.append(_Worker(run, claim, process, log, began or time.monotonic(), before))

    def log_of(self, key: str) -> Path:
        """Return the log file of a run."""
        return self.folder / "logs" / f"{key}.log"

    def _end_finished(self) -> bool:
        """Handle workers whose program ended; tell whether a job became free."""
        ended = [worker for worker in self._workers if worker.process.poll() is not None]
        for worker in ended:
            self._workers.remove(worker)
            worker.log.close()
            if worker.process.returncode != 0:
                self._fail(worker)
            elif worker.run.is_done:
                self._finish(worker)
            else:
                self._start(worker.run, worker.claim, worker.started, worker.before)
        return bool(ended)

    def _finish(self, worker: _Worker) -> None:
        worker.claim.release()
        if worker.before is None:
            self._durations.append(time.monotonic() - worker.started)
        self._done += 1
        logger.info(
            "%d of %d runs done: %s%s",
            self._done,
            self._total,
            worker.run.title,
            self._remaining_text(),
        )
        self._said = time.monotonic()

    def _fail(self, worker: _Worker) -> None:
        run, path = worker.run, self.log_of(worker.run.key)
        text = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        message = "\n".join(text[-MESSAGE_LINES:])
        self._failures[run.key] = Failure(key=run.key, title=run.title, message=message)
        content = {"title": run.title, "exit_code": worker.process.returncode, "message": message}
        self._failure_file(run).parent.mkdir(parents=True, exist_ok=True)
        write_json(self._failure_file(run), content)
        worker.claim.release()
        logger.warning("%s failed; %s says:\n%s", run.title, path, message)

    def _failure_file(self, run: PlannedRun) -> Path:
        return self.folder / "failures" / f"{run.key}.json"

    def _forget_failures(self, runs: Sequence[PlannedRun]) -> None:
        """Give every run one more chance."""
        for run in runs:
            with suppress(FileNotFoundError):
                self._failure_file(run).unlink()

    def _has_failed(self, run: PlannedRun) -> bool:
        """Tell whether a run failed, here or, since we started, on another machine."""
        path = self._failure_file(run)
        if run.key not in self._failures and path.is_file():
            with suppress(UserError, KeyError):
                content = read_json_object(path)
                self._failures[run.key] = Failure(
                    key=run.key, title=str(content["title"]), message=str(content["message"])
                )
        return run.key in self._failures

    def _renew(self) -> None:
        for worker in list(self._workers):
            if time.monotonic() - worker.renewed < RENEW_S:
                continue
            worker.renewed = time.monotonic()
            if not worker.claim.renew():
                logger.warning("%s was taken over by another machine", worker.run.title)
                self._workers.remove(worker)
                _stop(worker)

    def _stop_workers(self) -> None:
        """Ask all programs to save and end, and wait for them."""
        for worker in self._workers:
            _ask_to_end(worker)
        for worker in self._workers:
            _stop(worker)
            worker.claim.release()
        self._workers.clear()

    def _say_what_is_left(self) -> None:
        """Log what is left where no run has ended for a while."""
        if time.monotonic() - self._said < SAY_EVERY_S:
            return
        self._said = time.monotonic()
        logger.info("%d of %d runs done%s", self._done, self._total, self._remaining_text())

    def _remaining_text(self) -> str:
        """Return how long all that is left will take, by runs that ended, else by the forecast."""
        typical = self.expected_s
        if self._durations:
            typical = sum(self._durations) / len(self._durations)
        running = [
            run_seconds_left(
                time.monotonic() - worker.started,
                typical,
                worker.before,
                read_progress(worker.run.folder),
            )
            for worker in self._workers
        ]
        known = [seconds for seconds in running if seconds is not None]
        waiting = self._total - self._done - len(self._failures) - len(running)
        if typical is None or waiting + len(running) <= 0:
            return ""
        seconds = time_left(known, waiting, self.jobs, typical)
        return f"; about {format_duration(seconds)} left" if seconds >= 1 else ""


def _ask_to_end(worker: _Worker) -> None:
    """Ask a program to save and end; one that was stopped from outside has to go on for that."""
    with suppress(ProcessLookupError):
        worker.process.terminate()
        if hasattr(signal, "SIGCONT"):
            worker.process.send_signal(signal.SIGCONT)


def _stop(worker: _Worker) -> None:
    _ask_to_end(worker)
    worker.process.wait()
    worker.log.close()
