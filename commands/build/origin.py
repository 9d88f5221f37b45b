"""Where converted weights come from, in one line: what val.py and predict.py say at their start."""

import logging
from collections.abc import Mapping
from typing import Any

from utils.runtime.printable import printable, shortened

SHOWN_DIGITS = 12
logger = logging.getLogger(__name__)


def say_origin(metadata: Mapping[str, Any]) -> None:
    """Log `origin_line`, if there is something to say."""
    line = origin_line(metadata)
    if line is not None:
        logger.info("%s", line)


def origin_line(metadata: Mapping[str, Any]) -> str | None:
    """Return name, file, checksum, licence, origin and input of converted weights.

    Args:
        metadata: of the file, made by anybody; what it does not say is left out.

    Returns:
        One line, None where the weights were not converted.
    """
    source = metadata.get("converted_from")
    if not isinstance(source, Mapping):
        return None

    def said(key: str) -> str:
        value = source.get(key)
        return printable(shortened(value, 120)) if isinstance(value, str) and value else ""

    digest = said("sha256")[:SHOWN_DIGITS]
    parts = [
        " from ".join(filter(None, (said("name"), said("file")))),
        digest and f"SHA-256 {digest}...",
        said("licence") and f"licence {said('licence')}",
        said("origin"),
        said("input") and f"its authors feed {said('input')}",
    ]
    return f"weights: {', '.join(filter(None, parts))}" if any(parts) else None
