"""The command line of convert.py, which takes no settings but those of data."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from commands.parser import OneLineParser

DataFormat = Literal["coco", "yolo", "voc"]
DATA_FORMATS: tuple[DataFormat, ...] = ("coco", "yolo", "voc")


@dataclass(frozen=True, kw_only=True)
class ConvertCommand:
    """What convert.py was asked to do: weights or data, the other is None."""

    weights: Path | None = None
    data: str | None = None
    to: DataFormat = "yolo"
    link: bool = False
    out: Path | None = None
    overrides: tuple[str, ...] = ()


def parse_convert_command(arguments: Sequence[str] | None = None) -> ConvertCommand:
    """Read the command line of convert.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    parser = OneLineParser(
        prog="convert.py",
        description="Rewrite foreign weights as .safetensors (nothing in them is executed), or a "
        "data set in another label format.",
        allow_abbrev=False,
    )
    _add_options(parser)
    stated = parser.parse_intermixed_args(sys.argv[1:] if arguments is None else arguments)
    if stated.data is not None:
        _check_data(parser, stated)
    elif stated.to or stated.link or stated.overrides:
        parser.error("--to, --link and data.key=value belong to --data")
    return ConvertCommand(
        weights=stated.weights,
        data=stated.data,
        to=stated.to or "yolo",
        link=stated.link,
        out=stated.out,
        overrides=tuple(stated.overrides),
    )


def _add_options(parser: OneLineParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--weights",
        metavar="FILE",
        type=Path,
        help="released or fine-tuned .pt, whole module or checkpoint of a training run",
    )
    what.add_argument("--data", metavar="D", help="data set YAML or its name")
    parser.add_argument(
        "--to", choices=DATA_FORMATS, help="with --data: format of the labels to write"
    )
    parser.add_argument(
        "--link",
        action="store_true",
        help="with --data: images become hard links to the same files instead of "
        "copies, where the file system can do that",
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        type=Path,
        help="the new file (beside the old one where not given), or the new folder of --data; "
        "nothing that exists is written over",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="data.key=value", help="with --data: settings of the data"
    )


def _check_data(parser: OneLineParser, stated: object) -> None:
    if not getattr(stated, "to", None):
        parser.error(f"--data needs --to: {', '.join(DATA_FORMATS)}")
    if getattr(stated, "out", None) is None:
        parser.error("--data needs --out FOLDER")
    for text in getattr(stated, "overrides", ()):
        if not text.startswith("data.") or "=" not in text:
            parser.error(f"{text!r} is not a setting of the data: those read data.key=value")
