"""Reading JSON files of other programs: every fault is a `BrokenJsonError`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import USUAL_LIMIT, read_regular
from utils.runtime.printable import shortened

MAX_DEPTH = 200
"""Lists and objects within each other; Python's own functions give up at a thousand."""


class BrokenJsonError(UserError):
    """Text that is not JSON, or JSON of another kind than expected; `reason` says why."""

    def __init__(self, source: str | Path, reason: str) -> None:
        super().__init__(f"{shortened(source)} is not valid JSON: {reason}")
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the plain message."""
        return UserError, (str(self),)


def read_json(path: Path, *, limit: int = USUAL_LIMIT, allow_nan: bool = False) -> Any:
    """Return the content of a JSON file.

    Raises:
        UnreadableFileError: it cannot be read.
        BrokenJsonError: it is damaged, nested too deeply or does not fit into memory.
    """
    return parse_json(read_regular(path, limit=limit), source=path, allow_nan=allow_nan)


def read_json_object(path: Path, *, limit: int = USUAL_LIMIT) -> dict[str, Any]:
    """Return the content of a JSON file that contains an object; errors as of `read_json`."""
    content = read_json(path, limit=limit)
    if not isinstance(content, dict):
        raise BrokenJsonError(path, f"an object is expected, it holds a {type(content).__name__}")
    return content


def parse_json(
    content: bytes | str,
    *,
    source: str | Path,
    allow_nan: bool = False,
    max_depth: int = MAX_DEPTH,
) -> Any:
    """Parse JSON text.

    Args:
        content: UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
        source: name for messages.
        allow_nan: accept NaN and Infinity, which are not JSON but occur in files of Python
            programs.
        max_depth: most lists and objects within each other.

    Raises:
        BrokenJsonError: it is damaged, nested too deeply or does not fit into memory.
    """
    constant: Callable[[str], Any] | None = None if allow_nan else _no_constant
    try:
        if isinstance(content, bytes):
            content = content.decode(json.detect_encoding(content))
        value = json.loads(content, parse_constant=constant)
    except RecursionError:
        raise BrokenJsonError(source, "nested too deeply") from None
    except MemoryError:
        raise BrokenJsonError(source, "it does not fit into memory") from None
    except (ValueError, OverflowError) as error:
        raise BrokenJsonError(source, shortened(error)) from None
    if _is_deeper(value, max_depth):
        raise BrokenJsonError(source, "nested too deeply")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")


def _is_deeper(value: Any, depth: int) -> bool:
    """Tell whether containers are more than `depth` deep, level by level, without recursion."""
    level = [value] if isinstance(value, dict | list) else []
    while level:
        if not depth:
            return True
        depth -= 1
        children = (v.values() if isinstance(v, dict) else v for v in level)
        level = [child for group in children for child in group if isinstance(child, dict | list)]
    return False
