"""The command line of convert.py, which takes no settings but those of data."""

import argparse
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
    """What convert.py was asked to do: one of weights, data, get and list."""

    weights: Path | None = None
    data: str | None = None
    to: DataFormat = "yolo"
    link: bool = False
    out: Path | None = None
    overrides: tuple[str, ...] = ()
    get: str | None = None
    """Name of published weights."""
    mirror: str | None = None
    into: Path | None = None
    list: bool = False


def parse_convert_command(arguments: Sequence[str] | None = None) -> ConvertCommand:
    """Read the command line of convert.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    parser = OneLineParser(
        prog="convert.py",
        description="Rewrite foreign weights as .safetensors (nothing in them is executed), fetch "
        "published ones by name, or rewrite a data set in another label format.",
        allow_abbrev=False,
    )
    _add_options(parser)
    stated = parser.parse_intermixed_args(sys.argv[1:] if arguments is None else arguments)
    if stated.data is not None:
        _check_data(parser, stated)
    elif stated.to or stated.link or stated.overrides:
        parser.error("--to, --link and data.key=value belong to --data")
    _check_download(parser, stated)
    return ConvertCommand(
        weights=stated.weights,
        data=stated.data,
        to=stated.to or "yolo",
        link=stated.link,
        out=stated.out,
        overrides=tuple(stated.overrides),
        get=stated.get,
        mirror=stated.mirror,
        into=stated.into,
        list=stated.list,
    )


def _add_options(parser: OneLineParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--weights",
        metavar="FILE",
        type=Path,
        help="released or fine-tuned .pt, whole module or checkpoint of a training run; weights of "
        "YOLOX (.onnx, too), RTMDet and YOLOv9 as their authors publish them",
    )
    what.add_argument("--data", metavar="D", help="data set YAML or its name")
    what.add_argument(
        "--get",
        metavar="NAME",
        help="download and convert published weights, to be named as model.weights=NAME; a broken "
        "download continues where it stopped",
    )
    what.add_argument(
        "--list",
        action="store_true",
        help="list the weights that --get fetches: licence, parameters, AP, input size",
    )
    parser.add_argument(
        "--mirror",
        metavar="ADDRESS",
        help="with --get: http(s) address or folder with the published file, in place of its "
        "publisher",
    )
    parser.add_argument(
        "--into",
        metavar="FOLDER",
        type=Path,
        help="with --get: where the weights go; default $FOCALDET_WEIGHTS, else the user's cache",
    )
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
        help="the new file (default: beside the old one), or the new folder of --data; "
        "existing files are never overwritten",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="data.key=value", help="with --data: settings of the data"
    )


def _check_download(parser: OneLineParser, stated: argparse.Namespace) -> None:
    for option in ("mirror", "into"):
        if getattr(stated, option) is not None and stated.get is None:
            parser.error(f"--{option} belongs to --get NAME")
    if stated.out is not None and (stated.list or stated.get is not None):
        parser.error("--out belongs to --weights and --data; --into says where --get puts it")


def _check_data(parser: OneLineParser, stated: object) -> None:
    if not getattr(stated, "to", None):
        parser.error(f"--data needs --to: {', '.join(DATA_FORMATS)}")
    if getattr(stated, "out", None) is None:
        parser.error("--data needs --out FOLDER")
    for text in getattr(stated, "overrides", ()):
        if not text.startswith("data.") or "=" not in text:
            parser.error(f"{text!r} is not a setting of the data: those read data.key=value")
