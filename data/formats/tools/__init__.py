"""Parsers of label files that labelling tools and public data sets have of their own.

A new one is a `ToolFormat` in a file here, its name in `configs/schema/data.py` and its line in
TOOLS.
"""

from data.formats.tool_reader import ToolFormat
from data.formats.tools.createml import CreateML
from data.formats.tools.crowdhuman import CrowdHuman
from data.formats.tools.csv_table import CsvTable
from data.formats.tools.cvat import Cvat
from data.formats.tools.kitti import Kitti
from data.formats.tools.labelme import Labelme
from data.formats.tools.labelstudio import LabelStudio
from data.formats.tools.openimages import OpenImages
from data.formats.tools.supervisely import Supervisely
from data.formats.tools.two_columns import TwoColumns
from data.formats.tools.visdrone import VisDrone
from data.formats.tools.widerface import WiderFace

TOOLS: dict[str, ToolFormat] = {
    "labelme": Labelme(),
    "cvat": Cvat(),
    "labelstudio": LabelStudio(),
    "createml": CreateML(),
    "table": CsvTable(),
    "supervisely": Supervisely(),
    "openimages": OpenImages(),
    "kitti": Kitti(),
    "visdrone": VisDrone(),
    "widerface": WiderFace(),
    "crowdhuman": CrowdHuman(),
    "two_columns": TwoColumns(),
}
