"""A data set rewritten in another label format, with the YAML that trains on it."""

import logging
from pathlib import Path

from commands.build.labelled_data import open_data
from commands.convert.cli import ConvertCommand
from data.records.dataset_writer import Written, require_empty, write_dataset
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import cannot_write

_logger = logging.getLogger(__name__)


def convert_data(command: ConvertCommand) -> Path:
    """Write the data set as the command says; return the new data set YAML.

    What the new format cannot express, and every row that reading the labels could not use, is
    counted on the screen: nothing is lost silently.

    Raises:
        UserError, ConfigError: the data cannot be read, or the folder is not empty or cannot be
            written.
    """
    if command.data is None or command.out is None:
        raise UserError("--data needs --out FOLDER")
    require_empty(command.out)
    data = open_data(command.data, command.overrides)
    for split in data.splits:
        for line in split.report.summary():
            _logger.info("%s", line)
    try:
        written = write_dataset(data.splits, to=command.to, root=command.out, link=command.link)
    except OSError as error:
        raise cannot_write(command.out, error) from error
    for line in _lines(written, command):
        _logger.info("%s", line)
    return written.yaml


def _lines(written: Written, command: ConvertCommand) -> list[str]:
    lines = [f"{written.num_images:,} images, {written.num_boxes:,} boxes"]
    if written.left_out:
        reason = {
            "yolo": "YOLO labels cannot say that an object is to be ignored",
            "voc": "VOC cannot express boxes of no more than one pixel",
        }.get(command.to, "")
        lines.append(f"left out: {written.left_out:,} boxes, since {reason}")
    if written.renamed:
        lines.append(f"renamed: {written.renamed:,} images whose names were taken (_2, _3, ...)")
    return lines
