"""The command line of check_data.py."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.parser import OneLineParser


@dataclass(frozen=True, kw_only=True)
class CheckCommand:
    """What check_data.py was asked to do."""

    data: str | None = None
    overrides: tuple[str, ...] = ()
    image_size: int = 640
    labels_only: bool = False
    json: Path | None = None
    page: Path | None = None
    fix: Path | None = None
    show: Path | None = None
    show_images: int = 50
    get: str | None = None
    into: Path | None = None
    list: bool = False


def parse_check_command(arguments: Sequence[str] | None = None) -> CheckCommand:
    """Read the command line of check_data.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    parser = OneLineParser(
        prog="check_data.py",
        description="Check a data set: lost and wrong labels, images in two splits, duplicates, "
        "odd boxes, classes. Exit code 0: sound, 1: errors or warnings, 2: cannot be read. "
        "Nothing in the data set is changed. With --run, try a training on it: the options and "
        "settings of train.py --preflight.",
        allow_abbrev=False,
    )
    _add_data(parser)
    _add_outputs(parser)
    _add_download(parser)
    stated = parser.parse_intermixed_args(sys.argv[1:] if arguments is None else arguments)
    data, overrides = _data_and_settings(parser, stated.data)
    if data is None and stated.get is None and not stated.list:
        parser.error("name a data set, or --list those that can be fetched with --get NAME")
    if data is not None and (stated.get is not None or stated.list):
        parser.error("--get and --list take no data set beside them")
    if stated.into is not None and stated.get is None:
        parser.error("--into belongs to --get NAME")
    return CheckCommand(
        data=data,
        overrides=overrides,
        image_size=stated.image_size,
        labels_only=stated.labels_only,
        json=stated.json,
        page=stated.page,
        fix=stated.fix,
        show=stated.show,
        show_images=stated.show_images,
        get=stated.get,
        into=stated.into,
        list=stated.list,
    )


def trial_arguments(arguments: Sequence[str]) -> list[str]:
    """Return what train.py takes for `check_data.py --run DATA ...`, a preflight on the data."""
    found = ["--preflight"]
    value_of_option = False
    for argument in arguments:
        is_option = argument.startswith("-")
        is_data = not (is_option or value_of_option or "=" in argument)
        value_of_option = is_option and argument in ("--cfg", "--resume", "--replay")
        if argument != "--run":
            found.append(f"data={argument}" if is_data else argument)
    return found


def _add_data(parser: OneLineParser) -> None:
    parser.add_argument(
        "data",
        nargs="*",
        metavar="DATA",
        help="data set YAML or the name of one in configs/datasets; after it settings like "
        "data.path=FOLDER",
    )
    parser.add_argument(
        "--image-size",
        metavar="PX",
        type=_positive,
        default=640,
        help="long side of the network's input, by which sizes are measured; default 640",
    )
    parser.add_argument(
        "--labels-only",
        action="store_true",
        help="do not open the images: no search for duplicates, rotated or blank images",
    )


def _add_outputs(parser: OneLineParser) -> None:
    parser.add_argument(
        "--page",
        metavar="FILE",
        type=Path,
        help="write an offline HTML page: pictures of each finding, classes, "
        "sizes, where objects lie, labelled samples",
    )
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all findings as JSON")
    parser.add_argument(
        "--fix",
        metavar="FOLDER",
        type=Path,
        help="write a repaired copy into a new folder: without what cannot be used, without "
        "double boxes and copies of images, with a list of all changes",
    )
    parser.add_argument(
        "--show", metavar="FOLDER", type=Path, help="draw images with their labels into a folder"
    )
    parser.add_argument(
        "--show-images",
        metavar="N",
        type=_positive,
        default=50,
        help="how many of each split --show draws, evenly spread; default 50",
    )


def _add_download(parser: OneLineParser) -> None:
    parser.add_argument(
        "--list", action="store_true", help="list the public data sets that --get fetches"
    )
    parser.add_argument(
        "--get",
        metavar="NAME",
        help="download a public data set; a broken download continues where it stopped",
    )
    parser.add_argument(
        "--into",
        metavar="FOLDER",
        type=Path,
        help="where --get puts it; default $FOCALDET_DATASETS, else ./datasets",
    )


def _data_and_settings(
    parser: OneLineParser, stated: Sequence[str]
) -> tuple[str | None, tuple[str, ...]]:
    data: str | None = None
    settings = []
    for argument in stated:
        if argument.startswith("data.") and "=" in argument:
            settings.append(argument)
        elif data is None:
            data = argument.removeprefix("data=")
        else:
            parser.error(f"{argument!r}: one data set at a time ({data!r} was named before)")
    return data, tuple(settings)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)
