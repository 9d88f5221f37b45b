"""Axes of a chart: where a value lies in pixels, which values are marked and how."""

import math
from dataclasses import dataclass
from typing import Protocol

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_THOUSANDS = {"G": 1e9, "M": 1e6, "k": 1e3}
SMALLEST_DECIMAL = 1e-4
"""Numbers below are written as a power of ten."""


class Scale(Protocol):
    """Where values lie along one side of a chart."""

    def pixel(self, value: float) -> float:
        """Return where `value` lies."""
        ...

    def ticks(self, about: int = 5) -> list[float]:
        """Return about `about` values to mark."""
        ...


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis from `low` to `high`, drawn from pixel `start` to pixel `end`.

    `is_whole`: marks stand at whole numbers only.
    """

    low: float
    high: float
    start: float
    end: float
    is_whole: bool = False

    def pixel(self, value: float) -> float:
        """Return where `value` lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return round values within the axis, about `about` of them: 1, 2 or 5 times 10^k.

        The axis may run downwards.
        """
        low, high = sorted((self.low, self.high))
        raw = (high - low) / about
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= 0.8 * raw)
        step = max(step, 1.0) if self.is_whole else step
        first = math.ceil(low / step - 1e-9)
        last = math.floor(high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class LogAxis:
    """A logarithmic axis from `low` to `high`, both above 0, from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def pixel(self, value: float) -> float:
        """Return where `value` lies; what is below `low`, 0 too, at `start`."""
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return powers of ten within the axis, about `about` of them."""
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        step = max(1, math.ceil((last - first) / about))
        return [10.0**power for power in range(first, last + 1, step)]


def decades(values: list[float]) -> tuple[float, float]:
    """Return the powers of ten around positive `values`; 0.1 to 1 where there are none."""
    low, high = min(values, default=0.1), max(values, default=0.9)
    return 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high) + 0.01)


def padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """Return a range a little wider than given; around a single value, half of it each way."""
    margin = (high - low) * share or abs(high) / 2 or 0.5
    return low - margin, high + margin


def tick_text(value: float) -> str:
    """Return a number as short as an axis wants it: 0.25, 20k, 10⁻⁶."""
    size = abs(value)
    if size >= 1e4:
        unit = next(name for name, thousand in _THOUSANDS.items() if size >= thousand)
        return f"{value / _THOUSANDS[unit]:.3g}{unit}" if size < 1e12 else _power(value)
    return _power(value) if 0 < size < SMALLEST_DECIMAL else f"{value:.4g}"


def _power(value: float) -> str:
    mantissa, exponent = f"{value:.2g}".split("e") if "e" in f"{value:.2g}" else ("", "0")
    raised = str(int(exponent)).translate(_RAISED)
    return f"10{raised}" if mantissa == "1" else f"{mantissa}·10{raised}"
