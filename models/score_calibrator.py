"""Calibrated scores: a rising map from the network's scores to how often they are right.

Fitted by calibrate.py, kept in the metadata of the weights under `score_map`, applied after
suppression. Being strictly rising it changes no order, so which boxes survive stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from configs.errors import ConfigError

METADATA_KEY = "score_map"
MAX_KNOTS = 1_000_000


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """Straight between (knots[i], values[i]); both (M,) strictly rising within [0, 1], M >= 2.

    The first knot is 0, the last 1.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        knots, values = np.array(self.knots), np.array(self.values)
        if not (np.isfinite(knots).all() and np.isfinite(values).all()):
            raise ValueError("a score map has finite numbers")
        if len(knots) < 2 or len(knots) != len(values) or (knots[0], knots[-1]) != (0.0, 1.0):
            raise ValueError("a score map has as many values as knots, from score 0 to score 1")
        if (np.diff(knots) <= 0).any() or (np.diff(values) <= 0).any():
            raise ValueError("a score map rises strictly")
        if values[0] < 0 or values[-1] > 1:
            raise ValueError("a score map stays within 0 to 1")

    def __call__(self, scores: Tensor) -> Tensor:
        """Return scores (...,) in [0, 1] mapped, float32; computed in float64 on the CPU.

        On the CPU, so that a result does not depend on the device.
        """
        mapped = np.interp(scores.detach().cpu().double().numpy(), self.knots, self.values)
        return torch.from_numpy(np.asarray(mapped, np.float32)).to(scores.device)

    def inverse(self, value: float) -> float:
        """Return the score that is mapped to `value`; 0 below and just under 1 above the range.

        Thresholds on mapped scores become thresholds on those of the network.
        """
        if value <= self.values[0]:
            return 0.0
        return float(min(np.interp(value, self.values, self.knots), np.nextafter(1.0, 0.0)))


def read_score_map(metadata: Mapping[str, Any], *, source: str) -> ScoreMap | None:
    """Return the map in the metadata of weights, None where there is none.

    Raises:
        ConfigError: it is damaged.
    """
    stored = metadata.get(METADATA_KEY)
    if stored is None:
        return None
    try:
        return ScoreMap(_numbers(stored["knots"]), _numbers(stored["values"]))
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise ConfigError(f"{source}: metadata '{METADATA_KEY}' is damaged: {error}") from error


def _numbers(stored: Any) -> tuple[float, ...]:
    if not isinstance(stored, list) or not 2 <= len(stored) <= MAX_KNOTS:
        raise TypeError(f"a list of 2 to {MAX_KNOTS} numbers is expected")
    return tuple(map(float, stored))
