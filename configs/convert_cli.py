"""The command line of convert.py, which takes no settings."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.cli import OneLineParser


@dataclass(frozen=True)
class ConvertCommand:
    """What convert.py was asked to do."""

    weights: Path
    out: Path | None


def parse_convert_command(arguments: Sequence[str] | None = None) -> ConvertCommand:
    """Read the command line of convert.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    parser = OneLineParser(
        prog="convert.py",
        description="Rewrite foreign weights as .safetensors; nothing in them is executed.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=Path,
        required=True,
        help="released or fine-tuned .pt, whole module or checkpoint of a training",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="the new file, never one that exists; beside the old one where not given",
    )
    command = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    return ConvertCommand(command.weights, command.out)
