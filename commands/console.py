"""The command `focaldet`: one word for each program, then what the program itself takes."""

from utils.runtime import starting  # isort: split

import importlib
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

from configs.errors import ConfigError
from utils.runtime.command import USER_ERROR_CODE, run_command
from utils.runtime.errors import UserError
from utils.runtime.program import program_module
from utils.runtime.screen import say, show

PROGRAMS = {
    "train": ("train", "train a detector, or resume a run"),
    "val": ("val", "evaluate weights on a data set"),
    "predict": ("predict", "find objects in images, folders, videos, streams"),
    "export": ("export", "write weights for other programs: ONNX, OpenVINO, TorchScript"),
    "compare": ("compare", "compare losses, or anything else, as an experiment"),
    "check": ("check_data", "check a data set before it costs an epoch"),
    "convert": ("convert", "rewrite weights or data in another format"),
    "migrate": ("migrate", "write an experiment from a YOLOv5 or Ultralytics run"),
    "runs": ("list_runs", "list runs, show one, compare two"),
    "calibrate": ("calibrate", "calibrate scores to match precision"),
}
"""Word -> module of the program and what it does."""


def usage() -> str:
    """Return what `focaldet --help` prints."""
    width = max(map(len, PROGRAMS))
    lines = [f"  {word:<{width}}  {purpose}" for word, (_, purpose) in PROGRAMS.items()]
    return "\n".join(
        [
            "usage: focaldet COMMAND [options] [section.key=value ...]",
            "",
            *lines,
            "",
            "focaldet COMMAND --help lists options and settings; focaldet --version",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program that the first word names, and leave with its exit code."""
    first, *rest = [*(sys.argv[1:] if arguments is None else arguments), ""][:-1] or [""]
    if first in ("--version", "-V"):
        show(f"focaldet {importlib.import_module(program_module('focaldet')).__version__}")
        sys.exit(0)
    if first in ("", "--help", "-h", "help"):
        show(usage())
        sys.exit(0 if first else USER_ERROR_CODE)
    if first not in PROGRAMS:
        close = get_close_matches(first, PROGRAMS, n=1)
        hint = f" did you mean focaldet {close[0]}?" if close else ""
        say(f"error: focaldet has no command {first[:80]!r};{hint} commands: {', '.join(PROGRAMS)}")
        sys.exit(USER_ERROR_CODE)
    module, _ = PROGRAMS[first]
    sys.argv = [f"focaldet {first}", *rest]
    with starting.importing():
        program = importlib.import_module(program_module(module))
    run_command(program.main, user_errors=(ConfigError, UserError))
