"""Distinguishes exported files that are data from programs, which run only if trusted."""

import re
from pathlib import Path

from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import open_regular
from utils.runtime.printable import shortened

PROGRAMS = frozenset({".torchscript"})
"""File name endings whose content is code: loading one runs what it holds."""
_OPERATION = re.compile(rb"<layer\b[^>]*\bversion\s*=\s*[\"']([^\"']*)[\"']")
_OWN_OPERATIONS = re.compile(rb"opset\d+|ie_internal_opset", re.IGNORECASE)
_BLOCK = 1 << 20
_OVERLAP = 1 << 14


def require_data(path: Path, *, trusted: bool) -> None:
    """Raise UserError for a file that is a program, unless the user trusts it.

    ONNX is data: operations outside of its standard are refused by onnxruntime. OpenVINO's .xml is
    data as long as all its operations are OpenVINO's own.
    """
    if trusted:
        return
    if path.suffix in PROGRAMS:
        raise UserError(
            f"{shortened(path)} is a program: using it runs its author's code; if you "
            "trust the author add --trust (from Python: trust=True), else use .onnx or the weights"
        )
    if path.suffix == ".xml" and (name := _foreign_operation(path)):
        raise UserError(
            f"{shortened(path)} has operations of {name}, which are a program; if you trust the "
            "author add --trust (from Python: trust=True)"
        )


def _foreign_operation(path: Path) -> str | None:
    """Return the first operation set that is not one of OpenVINO's, None if there is none."""
    kept = b""
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            text = kept + block
            for match in _OPERATION.finditer(text):
                if not _OWN_OPERATIONS.fullmatch(match.group(1)):
                    return shortened(match.group(1).decode("utf-8", "replace"), 60)
            kept = text[-_OVERLAP:]
    return None
