"""The command line of list_runs.py."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from commands.parser import OneLineParser

Task = Literal["list", "show", "compare"]
_TASKS = get_args(Task)
NUM_RUNS = {"show": 1, "compare": 2}


@dataclass(frozen=True, kw_only=True)
class RunsCommand:
    """What list_runs.py was asked to do."""

    task: Task
    folder: Path
    """Folder of the runs; names of runs are searched there."""
    runs: tuple[Path, ...] = ()
    json: bool = False
    page: Path | None = None
    """Where `compare` writes its page."""


def parse_runs_command(arguments: Sequence[str] | None = None) -> RunsCommand:
    """Read the command line of list_runs.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    by_command = sys.argv[0].startswith("focaldet ")
    parser = OneLineParser(
        prog=sys.argv[0] if by_command else "list_runs.py",
        description="List runs (name, state, data, model, AP, epochs, when), show one, or compare "
        "two: the settings that differ, the curves, and whether the difference is larger than "
        "chance in the choice of validation images.",
        allow_abbrev=False,
    )
    parser.add_argument("task", nargs="?", choices=_TASKS, default="list", help="default: list")
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="name or folder of a run")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs"), help="where the runs are; default: runs"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="compare: write an offline page with the curves"
    )
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] not in _TASKS and not words[0].startswith("-"):
        close = get_close_matches(words[0], _TASKS, n=1, cutoff=0.7)
        guess = "show" if len(words) < NUM_RUNS["compare"] else "compare"
        line = [*close, *words[1:]] if close else [guess, *words]
        parser.error(f"no task {words[0]!r}; type {shlex.join([*parser.prog.split(), *line])}")
    command = parser.parse_args(words)
    wanted = NUM_RUNS.get(command.task, 0)
    if len(command.runs) != wanted:
        parser.error(f"{command.task} takes {wanted or 'no'} run{'s' * (wanted != 1)}")
    if command.page is not None and command.task != "compare":
        parser.error("--page belongs to compare")
    return RunsCommand(
        task=command.task,
        folder=command.folder,
        runs=tuple(command.runs),
        json=command.json,
        page=command.page,
    )
