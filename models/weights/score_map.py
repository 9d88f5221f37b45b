"""The score calibrator in the metadata of weights: fitted by calibrate.py, applied after NMS."""

from collections.abc import Mapping
from typing import Any

from configs.errors import ConfigError
from utils.structures.score_calibrator import ScoreCalibrator

METADATA_KEY = "score_map"
MAX_KNOTS = 1_000_000


def read_score_calibrator(metadata: Mapping[str, Any], *, source: str) -> ScoreCalibrator | None:
    """Return the map in the metadata of weights, None where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    stored = metadata.get(METADATA_KEY)
    if stored is None:
        return None
    try:
        calibrator = ScoreCalibrator(_numbers(stored["knots"]), _numbers(stored["values"]))
        if not calibrator.keeps_order:
            raise ValueError("a score map rises strictly, from score 0 to score 1")
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{source}: metadata '{METADATA_KEY}' is damaged: {error}") from error
    return calibrator


def _numbers(stored: Any) -> tuple[float, ...]:
    if not isinstance(stored, list) or not 2 <= len(stored) <= MAX_KNOTS:
        raise TypeError(f"a list of 2 to {MAX_KNOTS} numbers is expected")
    return tuple(map(float, stored))
