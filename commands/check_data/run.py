"""What check_data.py does: examine a data set, print and write the findings."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from commands.build.data_figures import labelled, spread
from commands.build.labelled_data import LabelledData, open_data
from commands.check_data.cli import CheckCommand
from commands.check_data.page import write_page
from commands.check_data.repair import CHANGES_NAME, write_repaired
from data.doctor.checks import SEVERITIES
from data.doctor.examine import Diagnosis, examine
from data.doctor.finding import by_code, counted
from data.images.io import ImageError
from data.index_cache import IndexCache, hash_parts
from data.records.dataset_writer import require_empty
from utils.report.drawing import encode_jpeg
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import cannot_write, write_atomically

SOUND, FINDINGS = 0, 1
SHOWN_SIDE = 960
_logger = logging.getLogger(__name__)


class Checked(NamedTuple):
    """What the screen shows, and the exit code: 0 sound, 1 errors or warnings."""

    lines: tuple[str, ...]
    code: int


def check_data(command: CheckCommand) -> Checked:
    """Examine the data set and write the requested files.

    Raises:
        UserError, ConfigError: the data cannot be read or a file cannot be written.
    """
    if command.data is None:
        raise UserError("name a data set")
    if command.fix is not None:
        require_empty(command.fix)
    data = open_data(command.data, command.overrides)
    needs_images = command.fix is not None or not command.labels_only
    diagnosis = examine(
        data.splits,
        image_size=command.image_size,
        max_rejected=data.settings.max_rejected,
        look_at_images=needs_images,
        cache=IndexCache.of_user() if data.settings.cache else None,
        cache_name=f"scan-{hash_parts((data.settings.path,))[:24]}",
    )
    _write(command, data, diagnosis)
    code = SOUND if diagnosis.is_sound else FINDINGS
    return Checked(tuple(summary(data, diagnosis)), code)


def summary(data: LabelledData, diagnosis: Diagnosis) -> Iterator[str]:
    """Yield what the screen shows: splits, findings worst first, a verdict."""
    for table in diagnosis.subject.splits.values():
        yield f"{table.name}: {len(table.paths):,} images, {len(table.boxes):,} objects"
    for group in by_code(diagnosis.findings):
        yield f"{group[0].severity}: {group[0].check.title}"
        for finding in group:
            where = f"{finding.split}: " if finding.split else ""
            yield f"    {where}{finding.message}"
        if group[0].severity != "note":
            yield f"    -> {group[0].check.advice}"
    counts = Counter(group[0].severity for group in by_code(diagnosis.findings))
    parts = [counted(counts[severity], severity) for severity in SEVERITIES if counts[severity]]
    state = "sound" if diagnosis.is_sound else "not sound"
    yield f"{data.name} is {state}" + (f": {', '.join(parts)}" if parts else "")


def _write(command: CheckCommand, data: LabelledData, diagnosis: Diagnosis) -> None:
    if command.json is not None:
        content = {
            "data": data.name,
            "image_size": command.image_size,
            "sound": diagnosis.is_sound,
            "splits": {
                table.name: {"images": len(table.paths), "objects": len(table.boxes)}
                for table in diagnosis.subject.splits.values()
            },
            "findings": [finding.to_json() for finding in diagnosis.findings],
        }
        write_atomically(command.json, (json.dumps(content, indent=1) + "\n").encode())
        _logger.info("written: %s", command.json)
    if command.page is not None:
        write_page(command.page, data, diagnosis)
        _logger.info("written: %s", command.page)
    if command.fix is not None:
        written, changes = write_repaired(
            data.splits, diagnosis, root=command.fix, wanted=data.settings.format
        )
        _logger.info(
            "written: %s (%d images, %d boxes); %d changes in %s",
            written.yaml,
            written.num_images,
            written.num_boxes,
            changes,
            command.fix / CHANGES_NAME,
        )
    if command.show is not None:
        _show(command.show, data, command.show_images)


def _show(folder: Path, data: LabelledData, count: int) -> None:
    """Draw labelled images into `folder`, a folder for each split."""
    number = 0
    for split in data.splits:
        for record in spread(split.records, count):
            target = folder / split.name / f"{record.image_id}_{Path(record.path).stem}.jpg"
            try:
                picture = labelled(record, split.class_names, SHOWN_SIDE)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(encode_jpeg(picture))
                number += 1
            except ImageError as error:
                _logger.warning("%s", error)
            except OSError as error:
                raise cannot_write(target, error) from error
    _logger.info("written: %d labelled images in %s", number, folder)
