"""The command line of compare.py."""

import shlex
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from commands.parser import CommandParser
from configs.schema.allowed import allowed, default_text
from configs.schema.comparison import ComparisonSettings, PairingSettings, VerdictSettings
from configs.schema.tuning import Choices, ListedTrials, Range, SearchedTrials

_USAGE = """\
compare.py --cfg DESIGN.yaml [key=value ...]   run the comparison, or continue it, and report
compare.py --cfg DESIGN.yaml --plan-only       only say what it can detect and how long it takes
compare.py --cfg DESIGN.yaml --folds K         cross-validate: K folds in place of seeds
compare.py tune --cfg DESIGN.yaml              search settings for one experiment, write the best
compare.py report FOLDER                       recompute every number from the run folders
compare.py power --sd S [--margin M] [--arms K] [--correction C]
                                               what a number of seeds can detect, before any run"""
_GROUPS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("", ComparisonSettings),
    ("test.", VerdictSettings),
    ("tuning.", ListedTrials),
    ("tuning.", SearchedTrials),
    ("tuning.space.ARM.KEY.", Range),
    ("tuning.space.ARM.KEY.", Choices),
    ("pairing.", PairingSettings),
)


@dataclass(frozen=True)
class RunComparison:
    """Train what is missing, then report."""

    cfg: Path
    overrides: tuple[str, ...]
    plan_only: bool = False


@dataclass(frozen=True)
class TuneExperiment:
    """Search the settings of one experiment."""

    cfg: Path
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class ReportComparison:
    """Report on the runs that are there."""

    folder: Path


@dataclass(frozen=True)
class TrainRun:
    """Train and evaluate one run of a comparison; called by compare.py itself."""

    cfg: Path
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class ResumeRun:
    """Resume and evaluate one run of a comparison; called by compare.py itself."""

    folder: Path
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class EvaluateRun:
    """Evaluate one finished run of a comparison; called by compare.py itself."""

    folder: Path


@dataclass(frozen=True)
class TryTraining:
    """Measure a training when asked to, line by line; called by compare.py itself."""

    cfg: Path
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class PowerQuestion:
    """Power analysis: detectable differences by number of seeds."""

    sd: float
    margin: float
    arms: int
    correction: str


CompareCommand = (
    RunComparison
    | TuneExperiment
    | ReportComparison
    | TrainRun
    | ResumeRun
    | EvaluateRun
    | TryTraining
    | PowerQuestion
)


class _Parser(CommandParser):
    own_words = frozenset(ComparisonSettings.model_fields)

    def format_help(self) -> str:
        """Return usage and the keys of a design."""
        return f"{_USAGE}\n\n{self.description}\n\n{design_help()}\n"


def design_help() -> str:
    """Return every key of a design with meaning, range and default."""
    return (
        "keys of a design; `base: other.yaml` lays it over another design; every other key=value\n"
        "changes the experiment for all arms:\n"
    ) + "\n".join(dict.fromkeys(_entries()))


def parse_compare_command(arguments: Sequence[str] | None = None) -> CompareCommand:
    """Read the command line of compare.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["power"]:
        return _power(words[1:])
    if words[:1] == ["train"]:
        return _train(words[1:])
    if words[:1] == ["tune"]:
        return _tune(words[1:])
    if words[:1] == ["try"]:
        return _try(words[1:])
    if words[:1] in (["report"], ["judge"]):
        return _folder(words)
    parser = _Parser("compare.py", "Compare losses, or anything else, as an experiment.")
    if words and all(Path(word, "config.yaml").is_file() for word in words):
        parser.error(f"finished runs are compared by list_runs.py compare {shlex.join(words)}")
    parser.add_argument("--cfg", metavar="DESIGN", type=Path, required=True, help="design YAML")
    parser.add_argument("--plan-only", action="store_true", help="show the plan and train nothing")
    parser.add_argument(
        "--folds", metavar="K", type=int, help="cross-validate: K folds in place of seeds"
    )
    command = parser.parse(words)
    folds = () if command.folds is None else (f"folds={command.folds}",)
    return RunComparison(command.cfg, (*command.overrides, *folds), command.plan_only)


def _power(words: Sequence[str]) -> PowerQuestion:
    parser = CommandParser("compare.py power", "Show what a number of seeds can detect.")
    parser.add_argument("--sd", type=float, required=True, help="std over seeds, points")
    parser.add_argument("--margin", type=float, default=0.5, help="smallest relevant difference")
    parser.add_argument("--arms", type=int, default=1, help="arms compared with the baseline")
    parser.add_argument("--correction", choices=("holm", "max", "none"), default="holm")
    command = parser.parse(words)
    if not (command.sd > 0 and command.margin > 0 and command.arms >= 1):
        parser.error("--sd and --margin must be above 0, --arms at least 1")
    return PowerQuestion(command.sd, command.margin, command.arms, command.correction)


def _tune(words: Sequence[str]) -> TuneExperiment:
    parser = CommandParser("compare.py tune", "Search the settings of one experiment.")
    parser.add_argument("--cfg", metavar="DESIGN", type=Path, required=True, help="design YAML")
    command = parser.parse(words)
    return TuneExperiment(command.cfg, tuple(command.overrides))


def _try(words: Sequence[str]) -> TryTraining:
    parser = CommandParser("compare.py try", "Measure a training as the lines on stdin ask to.")
    parser.add_argument("--cfg", metavar="FILE", type=Path, required=True, help="experiment")
    command = parser.parse(words)
    return TryTraining(command.cfg, tuple(command.overrides))


def _train(words: Sequence[str]) -> TrainRun | ResumeRun:
    parser = CommandParser("compare.py train", "Train one run of a comparison and evaluate it.")
    one = parser.add_mutually_exclusive_group(required=True)
    one.add_argument("--cfg", metavar="FILE", type=Path, help="experiment")
    one.add_argument("--resume", metavar="RUN", type=Path, help="folder of the run to resume")
    command = parser.parse(words)
    overrides = tuple(command.overrides)
    return TrainRun(command.cfg, overrides) if command.cfg else ResumeRun(command.resume, overrides)


def _folder(words: Sequence[str]) -> ReportComparison | EvaluateRun:
    parser = CommandParser(f"compare.py {words[0]}", "Read the folder of a comparison or run.")
    command = parser.parse_known_args(words[1:])[0]
    if len(command.overrides) != 1 or len(words) != 2:
        parser.error("one folder is needed, as in compare.py report runs/compare/NAME")
    folder = Path(command.overrides[0])
    return ReportComparison(folder) if words[0] == "report" else EvaluateRun(folder)


def _entries() -> Iterator[str]:
    """Yield key and meaning of every field; one that two ways of tuning share comes twice."""
    groups = {prefix for prefix, _ in _GROUPS}
    for prefix, model in _GROUPS:
        for name, info in model.model_fields.items():
            if f"{prefix}{name}." not in groups:
                yield _entry(prefix + name, info)


def _entry(key: str, info: FieldInfo) -> str:
    text = " ".join((info.description or "").split())
    meaning = textwrap.wrap(text, 92, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join([f"  {key}  {allowed(info)}; {_default(info)}", *meaning])


def _default(info: Any) -> str:
    return default_text(info) if info.default != {} else "default nothing"
