"""How long a comparison still takes: what runs in progress have left, and those that wait."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from heapq import heapify, heapreplace
from pathlib import Path

from configs.errors import ConfigError
from configs.reading.yaml_reader import read_yaml


@dataclass(frozen=True, slots=True)
class Progress:
    """Epochs that a run has done and has in all."""

    done: int
    total: int


def read_progress(folder: Path) -> Progress | None:
    """Return how far a run is by its files; None where they do not tell yet."""
    with suppress(OSError, ConfigError, ValueError, KeyError, TypeError):
        total = read_yaml(folder / "config.yaml").values["train"]["epochs"]
        with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
            done = sum(int(row["epoch"]) > 0 for row in csv.DictReader(file))
        if type(total) is int and 0 < done <= total:
            return Progress(done, total)
    return None


def run_seconds_left(
    elapsed: float, typical: float | None, before: Progress | None, now: Progress | None
) -> float | None:
    """Return what a run in progress has left, seconds; None where nothing tells.

    Args:
        elapsed: since this start of the run.
        typical: seconds of a whole run.
        before: how far it was at this start; None for a fresh run.
        now: how far it is.
    """
    begun = 0 if before is None else before.done
    whole = typical
    if typical is not None and before is not None:
        whole = typical * (1 - begun / before.total)
    if now is not None and now.done > begun:
        # One more epoch than the table has is in progress: that bounds what the whole run takes.
        own, done = now.total - begun, now.done - begun
        least, most = elapsed * own / (done + 1), elapsed * own / done
        whole = (least + most) / 2 if whole is None else min(max(whole, least), most)
    return None if whole is None else max(0.0, whole - elapsed)


def time_left(running: Sequence[float], waiting: int, jobs: int, typical: float) -> float:
    """Return when the last run will end, in seconds from now.

    Args:
        running: what each run in progress has left.
        waiting: runs that have not begun; each begins as soon as one ends.
        jobs: runs at a time, 1 or more.
        typical: seconds of a whole run.
    """
    ends = [*running, *[0.0] * (jobs - len(running))]
    heapify(ends)
    for _ in range(waiting):
        heapreplace(ends, ends[0] + typical)
    return max(ends)
