"""Which reader reads which data set: the one table of the formats of files.

A new format is a reader in a file of its own, its settings class in `configs/schema/data.py` and
its line here.
"""

from collections.abc import Callable
from typing import Any

from configs.schema.data import CocoDataset, DatasetSettings, VocDataset, YoloDataset
from data.formats.coco import CocoReader
from data.formats.files import Reader
from data.formats.voc import VocReader
from data.formats.yolo import YoloReader

OpenReader = Callable[[Any, Any], Reader]
"""From the settings and the name of a split to its reader."""

READERS: dict[type[DatasetSettings], OpenReader] = {
    YoloDataset: YoloReader,
    CocoDataset: CocoReader,
    VocDataset: VocReader,
}
