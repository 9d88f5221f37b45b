"""The table of readers by data format.

A new format is a reader in a file of its own, its settings class in `configs/schema/data.py` and
its line here; one of a labelling tool is a parser in `data/formats/tools`.
"""

from collections.abc import Callable
from typing import Any

from configs.schema.data import CocoDataset, DatasetSettings, ToolDataset, VocDataset, YoloDataset
from data.formats.coco.reader import CocoReader
from data.formats.files import Reader
from data.formats.tool_reader import ToolReader
from data.formats.tools import TOOLS
from data.formats.voc import VocReader
from data.formats.yolo.reader import YoloReader

OpenReader = Callable[[Any, Any], Reader]
"""Maps the settings and the name of a split to its reader."""


def _open_tool_reader(dataset: ToolDataset, split: Any) -> Reader:
    return ToolReader(dataset, split, TOOLS[dataset.format])


READERS: dict[type[DatasetSettings], OpenReader] = {
    YoloDataset: YoloReader,
    CocoDataset: CocoReader,
    VocDataset: VocReader,
    ToolDataset: _open_tool_reader,
}
