"""The command line of export.py."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from commands.parser import CommandParser, weights_file
from utils.export.formats import FORMATS, WITH_NMS


@dataclass(frozen=True, kw_only=True)
class DataSplit:
    """A data set YAML or name, and one of its splits."""

    data: str
    split: Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class ExportCommand:
    """What export.py was asked to do."""

    weights: Path
    formats: tuple[str, ...] = ("onnx",)
    """Names in `FORMATS`."""
    nms: bool = False
    int8: bool = False
    calibration_data: DataSplit | None = None
    """Where int8 ranges are measured; the training images of the weights where None."""
    data: DataSplit | None = None
    """What float and int8 files are evaluated on; nothing where None."""
    check_images: tuple[Path, ...] = ()
    """Images or folders; those of the weights' own data, else generated ones, where empty."""
    output: Path | None = None
    """Folder; that of the weights where None."""
    like_val: bool = False
    trust: bool = False
    overrides: tuple[str, ...] = ()


def parse_export_command(arguments: Sequence[str] | None = None) -> ExportCommand:
    """Read the command line of export.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    parser = CommandParser(
        "export.py",
        "Export weights for other runtimes, and check each file against PyTorch. "
        "Thresholds have the defaults of prediction: eval.score_threshold=0.25, "
        "eval.iou_threshold=0.45, eval.multi_label=false.",
        sections=("eval", "train", "model"),
    )
    _add_what(parser)
    _add_images(parser)
    command = parser.parse(sys.argv[1:] if arguments is None else arguments)
    formats = _formats(parser, command.format)
    _require_effect(parser, formats, command)
    return ExportCommand(
        weights=command.weights,
        formats=formats,
        nms=command.nms,
        int8=command.int8,
        calibration_data=_data_split(command.calibration_data, "train"),
        data=_data_split(command.data, "val"),
        check_images=tuple(command.check_images),
        output=command.output,
        like_val=command.like_val,
        trust=command.trust,
        overrides=tuple(command.overrides),
    )


def _add_what(parser: CommandParser) -> None:
    parser.add_argument(
        "--weights",
        metavar="FILE",
        type=weights_file,
        required=True,
        help="a run's folder, its .safetensors, or a released .pt",
    )
    parser.add_argument(
        "--format",
        metavar="F,F",
        default="onnx",
        help=f"one or some of {','.join(FORMATS)}; default onnx",
    )
    parser.add_argument(
        "--nms",
        action="store_true",
        help=f"include NMS and its thresholds in the file; {' and '.join(WITH_NMS)}",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="write a second file with int8 convolutions, for CPUs and NPUs; "
        f"{' and '.join(WITH_NMS)}",
    )
    parser.add_argument(
        "--like-val",
        action="store_true",
        help="use the eval section of the training, so that --nms gives the results of val.py",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="import the module that the weights name for custom blocks; only for weights from "
        "people you trust",
    )
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, help="output folder; default: beside the weights"
    )


def _add_images(parser: CommandParser) -> None:
    parser.add_argument(
        "--calibration-data",
        metavar="D/SPLIT",
        help="data set and split whose images set the ranges of --int8, such as coco128/train; "
        "default: the model's own training images",
    )
    parser.add_argument(
        "--data",
        metavar="D/SPLIT",
        help="with --int8, data set and split to evaluate both files on, such as coco128/val",
    )
    parser.add_argument(
        "--check-images",
        metavar="PATH",
        type=Path,
        action="append",
        default=[],
        help="image or folder on which each file but TensorRT's is compared with PyTorch, may be "
        "given several times; default: images of --calibration-data, of the model's own data, or "
        "generated ones",
    )


def _formats(parser: CommandParser, text: str) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in wanted:
        if name not in FORMATS:
            parser.error(f"--format {name}: choose some of {', '.join(FORMATS)}")
    if not wanted:
        parser.error(f"--format: choose some of {', '.join(FORMATS)}")
    return tuple(name for name in FORMATS if name in wanted)


def _require_effect(parser: CommandParser, formats: tuple[str, ...], command: object) -> None:
    for option in ("nms", "int8"):
        unfit = [name for name in formats if name not in WITH_NMS]
        if getattr(command, option) and unfit:
            parser.error(f"--{option} is for {' and '.join(WITH_NMS)}, not for {unfit[0]}")
    for option in ("calibration_data", "data"):
        if getattr(command, option) is not None and not getattr(command, "int8", False):
            parser.error(f"--{option.replace('_', '-')} has no effect without --int8")


def _data_split(text: str | None, default: Literal["train", "val", "test"]) -> DataSplit | None:
    if text is None:
        return None
    data, slash, tail = text.rpartition("/")
    for split in get_args(Literal["train", "val", "test"]):
        if slash and tail == split:
            return DataSplit(data=data, split=split)
    return DataSplit(data=text, split=default)
