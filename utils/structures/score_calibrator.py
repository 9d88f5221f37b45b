"""Calibrated scores: a rising map from the network's scores to how often they are right."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoreCalibrator:
    """Straight between (knots[i], values[i]), constant outside; both (M,) within [0, 1], M >= 2.

    Knots rise strictly, values rise or stay. One that `keeps_order` changes no AP and no NMS.

    Raises:
        ValueError: they do not.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        knots, values = np.array(self.knots), np.array(self.values)
        if not (np.isfinite(knots).all() and np.isfinite(values).all()):
            raise ValueError("a score map has finite numbers")
        if len(knots) < 2 or len(knots) != len(values):
            raise ValueError("a score map has as many values as knots, two or more")
        if (np.diff(knots) <= 0).any() or (np.diff(values) < 0).any():
            raise ValueError("a score map rises")
        if min(knots[0], values[0]) < 0 or max(knots[-1], values[-1]) > 1:
            raise ValueError("a score map stays within 0 to 1")

    @classmethod
    def of(
        cls, knots: Sequence[float] | Floats, values: Sequence[float] | Floats
    ) -> "ScoreCalibrator":
        """Return the calibrator of numbers in arrays or lists."""
        return cls(tuple(map(float, knots)), tuple(map(float, values)))

    @classmethod
    def identity(cls) -> "ScoreCalibrator":
        """Return the calibrator that changes nothing."""
        return cls((0.0, 1.0), (0.0, 1.0))

    @property
    def keeps_order(self) -> bool:
        """Tell whether it rises strictly from score 0 to score 1, so that no two scores meet."""
        is_whole = (self.knots[0], self.knots[-1]) == (0.0, 1.0)
        return is_whole and bool((np.diff(self.values) > 0).all())

    def __call__(self, scores: Floats) -> Floats:
        """Return the calibrated scores of (K,) scores, float64."""
        return np.asarray(np.interp(scores, self.knots, self.values), np.float64)

    def on_tensor(self, scores: Tensor) -> Tensor:
        """Return scores (...,) in [0, 1] calibrated, float32, on their device.

        Computed on the CPU, so that a result does not depend on the device.
        """
        mapped = self(scores.detach().cpu().double().numpy())
        return torch.from_numpy(np.asarray(mapped, np.float32)).to(scores.device)

    def inverse(self, value: float) -> float:
        """Return the score that is calibrated to `value`; 0 below and just under 1 above the range.

        Thresholds on calibrated scores become thresholds on those of the network.

        Raises:
            ValueError: it does not keep the order, so that there is no such score.
        """
        if not self.keeps_order:
            raise ValueError("a score map with equal values has no inverse")
        if value <= self.values[0]:
            return 0.0
        return float(min(np.interp(value, self.values, self.knots), np.nextafter(1.0, 0.0)))
