"""The table of export formats, for the command line and for running the files.

Nothing heavy is imported before a format is used: writers and sessions are named by their place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFormat:
    """One format: the ending of its files' names, what writes them, what runs them here."""

    suffix: str
    writer: str
    """`module:function` in utils/export, called with the path of the file and an `ExportSource`."""
    session: str | None
    """`module:class` as in `sessions.py`; None: such files are neither checked nor run here."""
    holds_nms: bool = False
    """Non-maximum suppression can be part of the file, and its weights can be int8."""


FORMATS: Mapping[str, ExportFormat] = {
    "onnx": ExportFormat(
        suffix=".onnx",
        writer="onnx_file:write_onnx",
        session="sessions:OnnxSession",
        holds_nms=True,
    ),
    "openvino": ExportFormat(
        suffix=".xml",
        writer="openvino_file:write_openvino",
        session="sessions:OpenVinoSession",
        holds_nms=True,
    ),
    "torchscript": ExportFormat(
        suffix=".torchscript",
        writer="torchscript_file:write_torchscript",
        session="sessions:TorchScriptSession",
    ),
    "tensorrt": ExportFormat(
        suffix=".engine",
        writer="tensorrt_file:write_tensorrt",
        session=None,
    ),
}
_ROOM = f"{__name__.rpartition('.')[0]}."
WITH_NMS = tuple(name for name, one in FORMATS.items() if one.holds_nms)
SESSIONS: Mapping[str, str] = {
    one.suffix: one.session for one in FORMATS.values() if one.session is not None
}
"""Ending of a file's name -> what runs such a file, as `module:class`."""


def load(place: str) -> Any:
    """Return what a table names as `module:attribute`."""
    module, _, attribute = place.partition(":")
    return getattr(import_module(_ROOM + module), attribute)
