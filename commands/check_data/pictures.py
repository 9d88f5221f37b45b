"""Pictures of findings."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import cv2
import numpy as np

from commands.build.data_figures import QUALITY, drawn, labelled
from data.doctor.finding import Finding, Place
from data.formats.files import is_image_name
from data.images.io import ImageError, read_image
from data.records.split import Split
from utils.report.drawing import Picture, data_uri, encode_jpeg, shrink_to, side_by_side
from utils.report.pages.data_page import FindingFigure
from utils.structures.images import Record

SIDE = 420
PICTURES = 3
"""Of each finding."""
MOST_PICTURES = 90
"""On a page."""
MARK = (230, 0, 60)

RecordOf = Mapping[str, Record]


def finding_figures(
    groups: Sequence[Sequence[Finding]], splits: Sequence[Split]
) -> Iterator[list[FindingFigure]]:
    """Yield the pictures of each group of findings, none where there is nothing to see."""
    records = {record.path: record for split in reversed(splits) for record in split.records}
    images = _images_of_labels(splits)
    names = splits[0].class_names
    left = MOST_PICTURES
    for group in groups:
        figures: list[FindingFigure] = []
        for split, place in _in_turn(group):
            if len(figures) == min(PICTURES, left):
                break
            path = place.path
            if not is_image_name(path):
                path = images.get((split, Path(path).stem), path)
            figure = _figure(path, place, records, names)
            if figure is not None:
                figures.append(figure)
        left -= len(figures)
        yield figures


def _images_of_labels(splits: Sequence[Split]) -> dict[tuple[str, str], str]:
    """Return the image that a label file belongs to, by split and name without suffix.

    Images of the same name in several folders cannot be told apart by it and are left out.
    """
    counts = Counter(
        (split.name, Path(record.path).stem) for split in splits for record in split.records
    )
    return {
        (split.name, stem): record.path
        for split in splits
        for record in split.records
        if counts[split.name, stem := Path(record.path).stem] == 1
    }


def _in_turn(group: Sequence[Finding]) -> list[tuple[str, Place]]:
    """Return split and place of all pictures, the first of each finding first."""
    columns = zip_longest(
        *([(finding.split, place) for place in finding.places[:PICTURES]] for finding in group)
    )
    places = [item for row in columns for item in row if item is not None]
    # Splits that share their images have the same places twice.
    distinct = {(place.path, place.other, place.boxes): (split, place) for split, place in places}
    return [item for item in distinct.values() if item[1].other != item[1].path]


def _figure(
    path: str, place: Place, records: RecordOf, names: Sequence[str]
) -> FindingFigure | None:
    caption = " ".join(filter(None, (Path(path).name, place.location, place.value)))
    try:
        picture = _place_picture(path, place, records, names)
        if place.other and place.other != place.path:
            other = _place_picture(place.other, place, records, names)
            height = min(picture.shape[0], other.shape[0])
            picture = side_by_side([_to_height(picture, height), _to_height(other, height)])
            caption += f" and {Path(place.other).name}"
    except ImageError:
        return None
    is_pair = bool(place.other) and place.other != place.path
    uri = data_uri(encode_jpeg(picture, QUALITY))
    return FindingFigure(source=uri, caption=caption, is_pair=is_pair)


def _place_picture(path: str, place: Place, records: RecordOf, names: Sequence[str]) -> Picture:
    record = records.get(path)
    if record is None or not Path(path).is_file():
        return shrink_to(read_image(path), SIDE)[0]
    if not place.boxes:
        return labelled(record, names, SIDE)
    return drawn(record, SIDE, lambda image, scale: _marked(image, place, scale))


def _marked(image: Picture, place: Place, scale: float) -> Picture:
    """Mark the boxes of a finding; a small one gets a ring."""
    canvas = image.copy()
    for box in place.boxes:
        x1, y1, x2, y2 = (round(corner * scale) for corner in box)
        cv2.rectangle(canvas, (x1, y1), (x2, y2), MARK, 2, cv2.LINE_AA)
        if max(x2 - x1, y2 - y1) < 24:
            cv2.circle(canvas, ((x1 + x2) // 2, (y1 + y2) // 2), 22, MARK, 2, cv2.LINE_AA)
    return canvas


def _to_height(picture: Picture, height: int) -> Picture:
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)
