"""Figures of a data set that its own page and that of a run share: counts, charts, samples."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data.doctor.subject import SplitTable, class_counts
from data.images.io import ImageError, read_image
from data.records.split import Split
from utils.report.charts.data_charts import crowd_chart, heat_map, shape_chart, size_chart
from utils.report.drawing import Picture, data_uri, draw_boxes, encode_jpeg, enlarge_to, shrink_to
from utils.report.pages.data_page import ClassRow
from utils.report.pages.page_template import Figure
from utils.structures.images import Record

TILE = 360
QUALITY = 80


def class_rows(tables: Sequence[SplitTable], names: Sequence[str]) -> list[ClassRow]:
    """Return the objects of each class in each split, the most frequent class first."""
    counts = np.array([class_counts(table, len(names)) for table in tables]).T
    order = np.argsort(-counts.sum(axis=1), kind="stable")
    return [ClassRow(name=names[label], counts=counts[label].tolist()) for label in order]


def data_charts(tables: Sequence[SplitTable], image_size: int) -> list[str]:
    """Return charts of sizes at `image_size` pixels, of shapes and of objects an image."""
    filled = [table for table in tables if len(table.boxes)]
    if not filled:
        return []
    sides = {
        table.name: np.sqrt(table.widths * table.heights) * table.scale_to(image_size)
        for table in filled
    }
    ratios = {table.name: table.widths / np.maximum(table.heights, 1e-6) for table in filled}
    return [
        size_chart(sides, image_size),
        shape_chart(ratios),
        crowd_chart({table.name: table.counts for table in filled}),
    ]


def center_maps(tables: Sequence[SplitTable]) -> list[str]:
    """Return maps of where the centres of objects lie, of each split that has any."""
    maps = []
    for table in tables:
        if len(table.boxes):
            centers = (table.boxes[:, :2] + table.boxes[:, 2:]) / 2
            shares = np.asarray(centers / table.limits)
            maps.append(heat_map(f"Centres of the objects, {table.name}", shares))
    return maps


def contact_sheet(split: Split, count: int) -> list[Figure]:
    """Return labelled samples of a split at even distances, so that none is chosen by eye."""
    figures = []
    for record in spread(split.records, count):
        try:
            picture = labelled(record, split.class_names, TILE)
        except ImageError:
            continue
        caption = Path(record.path).name
        figures.append(Figure(source=data_uri(encode_jpeg(picture, QUALITY)), caption=caption))
    return figures


def labelled(record: Record, names: Sequence[str], side: int) -> Picture:
    """Return the image with all its labels, its long side brought to about `side` pixels.

    Raises:
        ImageError: the image cannot be read.
    """
    return drawn(
        record,
        side,
        lambda image, scale: draw_boxes(image, record.boxes * scale, record.labels, names),
    )


def drawn(record: Record, side: int, draw: Callable[[Picture, float], Picture]) -> Picture:
    """Return the image at about `side` pixels after `draw`, which is told the scale."""
    image, scale = shrink_to(read_image(record.path, record.depth), side)
    image, factor = enlarge_to(image, side // 2)
    return draw(image, scale * factor)


def spread(records: Sequence[Record], count: int) -> list[Record]:
    """Return up to `count` records at even distances; of labelled ones, if there are enough."""
    with_objects = [record for record in records if len(record.boxes)]
    chosen = with_objects if len(with_objects) >= count else list(records)
    step = max(1, len(chosen) // count)
    return chosen[::step][:count]
