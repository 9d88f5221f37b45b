"""The command line of calibrate.py."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from commands.parser import CommandParser, weights_file


@dataclass(frozen=True, kw_only=True)
class CalibrateCommand:
    """What calibrate.py was asked to do."""

    weights: Path
    out: Path
    data: str | None = None
    split: Literal["train", "val", "test"] = "val"
    method: Literal["isotonic", "focal"] = "isotonic"
    overrides: tuple[str, ...] = ()


def parse_calibrate_command(arguments: Sequence[str] | None = None) -> CalibrateCommand:
    """Read the command line of calibrate.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    parser = CommandParser(
        "calibrate.py",
        "Calibrate scores to match precision, and write weights that include the calibration.",
        sections=("eval", "train"),
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=weights_file,
        required=True,
        help="a run's folder, its .safetensors, or a released .pt; not changed",
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="new file, must not exist; default NAME-calibrated.safetensors",
    )
    parser.add_argument(
        "--data", metavar="D", help="data set YAML or its name; default: the one it was trained on"
    )
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        default="val",
        help="split to fit on; scores on train are too high to fit on",
    )
    parser.add_argument(
        "--method",
        choices=("isotonic", "focal"),
        default="isotonic",
        help="isotonic: fit to the split; focal: invert the effect of focal loss on probabilities, "
        "which needs no data but is exact only for a single branch",
    )
    command = parser.parse(sys.argv[1:] if arguments is None else arguments)
    default = command.weights.with_name(f"{command.weights.stem}-calibrated.safetensors")
    return CalibrateCommand(
        weights=command.weights,
        out=command.out or default,
        data=command.data,
        split=command.split,
        method=command.method,
        overrides=tuple(command.overrides),
    )
