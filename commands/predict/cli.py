"""The command line of predict.py."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.parser import CommandParser, weights_file
from commands.view_options import (
    AS_IT_IS,
    TRUST_HELP,
    ViewOptions,
    add_view_options,
    read_view_options,
)

SAVED_KINDS = (
    "images", "video", "txt", "json", "csv", "crops", "coco", "yolo", "labelstudio", "cvat",
)  # fmt: skip
"""What predict.py can write into its folder; the last four are labels for annotation tools."""

LARGEST_LINE = 100
"""Pixels; more hides what is found."""


@dataclass(frozen=True)
class PredictCommand:
    """What predict.py was asked to do."""

    weights: Path
    sources: tuple[str, ...]
    classes: tuple[str, ...] = ()
    """Names of the classes to keep; all where empty."""
    save: tuple[str, ...] = ("images", "video")
    """Some of `SAVED_KINDS`; nothing where empty."""
    save_dir: Path = Path("runs/predict")
    save_json: Path | None = None
    categories: Path | None = None
    """COCO annotation file whose category ids the JSON uses."""
    like_val: bool = False
    views: ViewOptions = AS_IT_IS
    line_width: int | None = None
    """Of boxes in pictures, pixels; None grows with the picture."""
    hides_labels: bool = False
    hides_scores: bool = False
    trust: bool = False
    """Run weights that are a program."""
    overrides: tuple[str, ...] = ()


def parse_predict_command(arguments: Sequence[str] | None = None) -> PredictCommand:
    """Read the command line of predict.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    parser = CommandParser(
        "predict.py",
        "Detect objects in images, videos and streams. Prediction has its own defaults: "
        "eval.score_threshold=0.25, eval.iou_threshold=0.45, eval.multi_label=false.",
        sections=("eval", "train", "model"),
    )
    _add_predict_options(parser)
    add_view_options(parser)
    parser.add_argument("--trust", action="store_true", help=TRUST_HELP)
    command = parser.parse(sys.argv[1:] if arguments is None else arguments)
    save = _listed(command.save)
    for kind in save:
        if kind not in SAVED_KINDS and save != ("none",):
            parser.error(f"--save {kind}: choose some of {', '.join(SAVED_KINDS)}, or none")
    return PredictCommand(
        weights=command.weights,
        sources=tuple(command.source),
        classes=_listed(command.classes),
        save=() if save == ("none",) else tuple(dict.fromkeys(save)),
        save_dir=command.save_dir,
        save_json=command.save_json,
        categories=command.categories,
        like_val=command.like_val,
        views=read_view_options(parser, command),
        line_width=command.line_width,
        hides_labels=command.hide_labels,
        hides_scores=command.hide_scores,
        trust=command.trust,
        overrides=tuple(command.overrides),
    )


def _add_weights(parser: CommandParser) -> None:
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=weights_file,
        required=True,
        help="a run's folder, its .safetensors, a released .pt, or a file written by export.py",
    )


def _add_predict_options(parser: CommandParser) -> None:
    _add_weights(parser)
    parser.add_argument(
        "--source",
        metavar="S",
        action="append",
        required=True,
        help="image, video, folder, glob in quotes, number of a camera, rtsp:// or http:// "
        "address, or - for a list of these on standard input; may be given several times",
    )
    parser.add_argument(
        "--classes", metavar="NAMES", default="", help="keep these classes only: name,name"
    )
    parser.add_argument(
        "--save",
        metavar="KINDS",
        default="images,video",
        help=f"what to write, some of {','.join(SAVED_KINDS)}, or none; coco, yolo, labelstudio "
        "and cvat are pre-labels to import and correct in a labelling tool; default images,video",
    )
    parser.add_argument(
        "--save-dir",
        metavar="FOLDER",
        type=Path,
        default=Path("runs/predict"),
        help="output folder; a number is added if it exists; default runs/predict",
    )
    parser.add_argument(
        "--save-json",
        metavar="FILE",
        type=Path,
        help="write COCO results to this file; image ids are the numbers in the file names where "
        "all are numbers, as in COCO, else positions from 0",
    )
    parser.add_argument(
        "--categories",
        metavar="FILE",
        type=Path,
        help="COCO annotation file whose category ids the results use; default: the training's",
    )
    parser.add_argument(
        "--line-width",
        metavar="PIXELS",
        type=_positive,
        help="of boxes in pictures; default: grows with the picture",
    )
    parser.add_argument(
        "--hide-labels", action="store_true", help="draw boxes without names and scores"
    )
    parser.add_argument("--hide-scores", action="store_true", help="draw names without scores")
    parser.add_argument(
        "--like-val",
        action="store_true",
        help="use the eval section of the training, so that the results are those of val.py",
    )


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 0 < number <= LARGEST_LINE:
        raise argparse.ArgumentTypeError(f"{text!r} must be from 1 to {LARGEST_LINE}")
    return number


def _listed(text: str) -> tuple[str, ...]:
    """Return the parts of `a,b` without spaces around them; none for empty text."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
