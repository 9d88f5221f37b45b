"""The command line of train.py."""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.parser import CommandParser
from configs.reading.overrides import choose_recipe, names_data


@dataclass(frozen=True)
class TrainCommand:
    """The command line of train.py, parsed; `cfg`, `resume`, `replay` or `verify_resume` is set."""

    cfg: Path | None
    overrides: tuple[str, ...]
    resume: Path | None
    open_report: bool = False
    verify_resume: bool = False
    replay: Path | None = None
    write_yaml: Path | None = None
    """Where to write the data YAML that says what data=FOLDER was taken for."""
    preflight: bool = False
    """Try everything that the training does, small, instead of it."""
    accept_data: bool = False
    """Resume a training run even if its data changed."""
    lr_range: tuple[float, ...] | None = None
    """Ends of the learning rates to try instead of training, () for those around the present one;
    None trains."""


def parse_train_command(arguments: Sequence[str] | None = None) -> TrainCommand:
    """Read the command line of train.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    parser = _make_parser()
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = parser.parse(_with_whole_range(words))
    modes = [command.resume, command.replay, command.verify_resume or None]
    if command.cfg is None and not any(modes):
        if not names_data(command.overrides):
            parser.error(
                "data=FOLDER, --cfg FILE or --resume RUN is needed, as in "
                "--cfg configs/quickstart.yaml"
            )
        command.cfg = choose_recipe(command.overrides)
    if sum(mode is not None for mode in modes) > 1:
        parser.error("--resume, --replay and --verify-resume exclude each other")
    if command.preflight and any(modes):
        parser.error("--preflight tries a new training: --cfg FILE or data=FOLDER")
    if command.lr_range is not None and (any(modes) or command.preflight):
        parser.error("--lr-range tries a new training: --cfg FILE or data=FOLDER")
    if command.accept_data and command.resume is None:
        parser.error("--accept-data has no effect without --resume RUN")
    return TrainCommand(
        cfg=command.cfg,
        overrides=tuple(command.overrides),
        resume=command.resume,
        open_report=command.open_report,
        verify_resume=command.verify_resume,
        replay=command.replay,
        write_yaml=command.write_yaml,
        accept_data=command.accept_data,
        preflight=command.preflight,
        lr_range=command.lr_range,
    )


_LR_RANGE = "--lr-range"


def _with_whole_range(words: list[str]) -> list[str]:
    """Return the words with the numbers after --lr-range as one of them: it takes none or two, and
    settings may follow.
    """
    if _LR_RANGE not in words:
        return words
    at = words.index(_LR_RANGE)
    ends = at + 1
    while ends < len(words) and _is_number(words[ends]):
        ends += 1
    return [*words[:at], f"{_LR_RANGE}={' '.join(words[at + 1 : ends])}", *words[ends:]]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _learning_rates(text: str) -> tuple[float, ...]:
    """Return () or (low, high) of what is written after --lr-range."""
    words = text.split()
    ends = tuple(float(word) for word in words if _is_number(word))
    is_range = len(ends) == 2 and 0 < ends[0] < ends[1] < math.inf
    if len(ends) < len(words) or (ends and not is_range):
        raise argparse.ArgumentTypeError(
            f"{text!r} must be two numbers, 0 < LOW < HIGH, as in {_LR_RANGE} 1e-4 1"
        )
    return ends


def _make_parser() -> CommandParser:
    parser = CommandParser("train.py", "Train a detector, or resume a run.")
    parser.add_argument("--cfg", metavar="FILE", type=Path, help="experiment, a YAML in configs/")
    parser.add_argument(
        "--resume",
        metavar="RUN",
        type=Path,
        help="resume the run in this folder, or the last one (--resume last); settings given with "
        "it are changed",
    )
    parser.add_argument(
        "--accept-data",
        action="store_true",
        help="with --resume: continue although the data have changed since the run began",
    )
    parser.add_argument(
        "--preflight",
        action="store_true",
        help="rehearse the run: read all data, try steps, evaluation, saving, resuming and export; "
        "report time, memory, disk space and problems; no run is started",
    )
    parser.add_argument(
        _LR_RANGE,
        metavar="[LOW HIGH]",
        type=_learning_rates,
        help="raise the learning rate from LOW to HIGH (default: the present one / 100 to x 100) "
        "until the loss diverges, and say where it falls fastest; no run is started",
    )
    parser.add_argument(
        "--open-report", action="store_true", help="show the report in a browser at the end"
    )
    parser.add_argument(
        "--verify-resume",
        action="store_true",
        help="check that an interrupted and resumed run gives the same weights as an uninterrupted "
        "one: trains twice, a tiny run without --cfg",
    )
    parser.add_argument(
        "--replay",
        metavar="FILE",
        type=Path,
        help="recompute a saved batch whose loss or gradient was NaN or infinite, and say where",
    )
    parser.add_argument(
        "--write-yaml",
        metavar="FILE",
        type=Path,
        help="write what data=FOLDER was recognised as in a data YAML, and stop",
    )
    return parser
