"""Escape text of files and names for output: it must not control a terminal or a spreadsheet.

Control characters move the cursor, set the title of a window or hide what stands before them; marks
of writing direction show a name in another order than it has (Unicode technical report 36, section
2.5). Here they become escapes that a person can read.
"""

import re
import unicodedata
from typing import Any

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE = "\u200b\u2028\u2029\u2060\ufeff"
_CONTROLS = re.compile(f"[\x00-\x1f\x7f-\x9f{_BIDI}{_INVISIBLE}\ud800-\udfff]")
_IN_A_LINE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}{_INVISIBLE}\ud800-\udfff]")
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
_NUMBERS = re.compile(r"[\s,;]*(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?:[\s,;]+|$))+")


def printable(value: object) -> str:
    """Return text on one line with everything but visible characters and spaces escaped."""
    return _CONTROLS.sub(_escaped, str(value))


def printable_lines(text: str) -> str:
    """Return text as `printable` does, with its own line ends and tabs kept."""
    return _IN_A_LINE.sub(_escaped, text)


def csv_cell(value: Any) -> Any:
    """Return a cell that a spreadsheet does not evaluate: a formula is prefixed with '.

    Numbers, also several of them, and what is not text stay as they are.
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    is_formula = _FORMULA.match(value) is not None and _NUMBERS.fullmatch(text) is None
    return f"'{text}" if is_formula else text


def shortened(value: object, longest: int = 200) -> str:
    """Return `printable` text of at most about `longest` characters."""
    try:
        text = value if isinstance(value, str) else str(value)
    except (ValueError, RecursionError, MemoryError):  # an integer of too many digits, for one
        text = f"a {type(value).__name__} that cannot be shown"
    return printable(text if len(text) <= longest else f"{text[:longest]}...")


def as_file_name(text: str, longest: int = 100) -> str:
    """Return `text` as a file name: other characters replaced by _, at most `longest` bytes.

    Letters of every script stay.
    """
    name = re.sub(r"[^\w.-]+", "_", unicodedata.normalize("NFC", printable(text))).strip(".")
    name = name.encode("utf-8", "replace")[:longest].decode("utf-8", "ignore").strip(".")
    return name or "_"


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    names = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
    if code in names:
        return names[code]
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
