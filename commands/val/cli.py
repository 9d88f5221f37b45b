"""The command line of val.py."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from commands.parser import CommandParser, weights_file
from commands.view_options import (
    AS_IT_IS,
    TRUST_HELP,
    ViewOptions,
    add_view_options,
    read_view_options,
)


@dataclass(frozen=True, kw_only=True)
class ValCommand:
    """What val.py was asked to do."""

    weights: Path
    data: str | None
    split: Literal["train", "val", "test"]
    json: Path | None
    save_detections: Path | None
    overrides: tuple[str, ...]
    task: Literal["judge", "speed"] = "judge"
    batch_sizes: tuple[int, ...] = (1, 8)
    """Batch sizes that `speed` measures."""
    threshold_report: bool = False
    plots: Path | None = None
    """Folder for pictures and page."""
    views: ViewOptions = AS_IT_IS
    trust: bool = False
    """Run weights that are a program."""


def parse_val_command(arguments: Sequence[str] | None = None) -> ValCommand:
    """Read the command line of val.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    parser = CommandParser(
        "val.py",
        "Evaluate a model on a data set; settings not given are those of its training.",
        sections=("eval", "train", "model"),
    )
    _add_data(parser)
    _add_results(parser)
    add_view_options(parser)
    parser.add_argument("--trust", action="store_true", help=TRUST_HELP)
    command = parser.parse(sys.argv[1:] if arguments is None else arguments)
    views = read_view_options(parser, command)
    if command.task == "speed":
        _refuse_beside_speed(parser, command, views)
    elif command.batch_sizes is not None:
        parser.error(
            "--batch-sizes belongs to --task speed; eval.batch_size is that of the evaluation"
        )
    return ValCommand(
        weights=command.weights,
        data=command.data,
        split=command.split,
        json=command.json,
        save_detections=command.save_detections,
        overrides=tuple(command.overrides),
        task=command.task,
        batch_sizes=_batch_sizes(parser, command.batch_sizes or "1,8"),
        threshold_report=command.threshold_report,
        plots=command.plots,
        views=views,
        trust=command.trust,
    )


def _add_data(parser: CommandParser) -> None:
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=weights_file,
        required=True,
        help="a run's folder, its .safetensors, a released .pt, or a file written by export.py",
    )
    parser.add_argument(
        "--data", metavar="D", help="data set YAML or its name; default: the one it was trained on"
    )
    parser.add_argument(
        "--split", choices=("train", "val", "test"), default="val", help="split to evaluate on"
    )


def _add_results(parser: CommandParser) -> None:
    parser.add_argument(
        "--task",
        choices=("judge", "speed"),
        default="judge",
        help="judge: compute metrics; speed: time reading, letterbox, network and NMS instead",
    )
    parser.add_argument(
        "--batch-sizes",
        metavar="N,N",
        help="batch sizes that --task speed measures, from 1; default 1,8",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all numbers as JSON")
    parser.add_argument(
        "--save-detections",
        metavar="FILE",
        type=Path,
        help="write the detections in COCO's result format",
    )
    parser.add_argument(
        "--threshold-report",
        action="store_true",
        help="list the score threshold of best F1 for every class, at IoU 0.5, and the F1 that one "
        "threshold for all classes loses",
    )
    parser.add_argument(
        "--plots",
        metavar="FOLDER",
        type=Path,
        help="write index.html, an offline page, and its charts as SVG: precision and recall, F1, "
        "confusion, scores, calibration, kinds of errors; the page shows the worst images, too",
    )


def _refuse_beside_speed(parser: CommandParser, command: object, views: ViewOptions) -> None:
    beside = {
        "--save-detections": getattr(command, "save_detections", None),
        "--threshold-report": getattr(command, "threshold_report", None),
        "--plots": getattr(command, "plots", None),
        "--tta or --tile": views.is_needed,
    }
    for option, value in beside.items():
        if value:
            parser.error(f"{option} has no effect with --task speed")


def _batch_sizes(parser: CommandParser, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) for part in parts):
        parser.error(f"--batch-sizes {text}: whole numbers from 1, as in 1,8")
    return tuple(dict.fromkeys(int(part) for part in parts))
