"""How a cost grows: a line through what was measured, how far off it is, and what it foretells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, log

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SCALES = {"s": ("s", "ms", "us", "ns"), "MiB": ("MiB", "KiB", "B")}
"""Units from large to small, and what each step divides by."""
STEPS = {"s": 1000.0, "MiB": 1024.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Costs of each of some causes, fitted to measured sums.

    factors (K,): cost of one unit of each cause; off: largest distance of a measured cost from the
    fitted one, as a share of what was measured.
    """

    factors: tuple[float, ...]
    off: float


def fit_terms(causes: Sequence[Sequence[float]], costs: Sequence[float]) -> Terms:
    """Fit costs as a weighted sum of causes by least squares of the relative distances.

    Relative, because sizes span orders of magnitude: absolute distances would leave the small ones
    out.

    Args:
        causes: (N, K), of each measurement how much of each cause there was.
        costs: (N,), above 0.

    Raises:
        ValueError: there are fewer measurements than causes, these cannot be told apart, or a cost
            is not above 0.
    """
    table, measured = np.asarray(causes, np.float64), np.asarray(costs, np.float64)
    if not (measured > 0).all():
        raise ValueError(f"costs must be above 0, got {measured.min()}")
    # Each column by its own largest value: bytes beside ones would count as the same direction.
    largest = np.abs(table).max(axis=0)
    largest[largest == 0] = 1.0
    weighted = table / largest / measured[:, None]
    if np.linalg.matrix_rank(weighted) < table.shape[1]:
        raise ValueError("the measurements do not tell the causes apart")
    factors = np.linalg.lstsq(weighted, np.ones(len(measured)), rcond=None)[0] / largest
    off = np.abs(table @ factors / measured - 1).max()
    return Terms(factors=tuple(factors.tolist()), off=float(off))


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What a part of the program took at growing sizes.

    unit: `s` or `MiB` of the costs; per: what is counted, in the singular; ahead: sizes of data
    sets, by name, at which the line is read.
    """

    part: str
    unit: str
    per: str
    sizes: tuple[float, ...]
    costs: tuple[float, ...]
    ahead: Mapping[str, float] = field(default_factory=dict)

    @property
    def line(self) -> Terms:
        """Fixed cost and cost of one more."""
        return fit_terms([(1.0, size) for size in self.sizes], self.costs)

    @property
    def exponent(self) -> float:
        """Growth from the second largest to the largest size: 1 is linear, 2 quadratic.

        A fixed cost, which hides growth at small sizes, counts least there.
        """
        (small, low), (large, high) = sorted(zip(self.sizes, self.costs, strict=True))[-2:]
        return log(high / low) / log(large / small)

    def at(self, size: float) -> float:
        """Return the cost that the line gives at `size`."""
        fixed, slope = self.line.factors
        return fixed + slope * size


def written(value: float, unit: str) -> str:
    """Return a cost with three digits in the unit of its scale in which it is at least 1.

    GiB from 1024 MiB and hours from 7,200 s on.
    """
    if unit == "MiB" and abs(value) >= 1024:
        return f"{_digits(value / 1024)} GiB"
    if unit == "s" and abs(value) >= 7200:
        return f"{_digits(value / 3600)} h"
    names = SCALES[unit]
    for name in names[:-1]:
        if abs(value) >= 1:
            return f"{_digits(value)} {name}"
        value *= STEPS[unit]
    return f"{_digits(value)} {names[-1]}"


def _digits(value: float) -> str:
    """Return three significant digits, never in powers of ten."""
    magnitude = log(abs(value), 10) if value else -inf
    decimals = 2 if magnitude < 1 else 1 if magnitude < 2 else 0
    return f"{value:,.{decimals}f}"


def format_growths(growths: Sequence[Growth]) -> str:
    """Return a Markdown table: fit, distance, exponent, and what the line says further ahead."""
    names = list(dict.fromkeys(name for growth in growths for name in growth.ahead))
    head = ["part", "sizes", "measured", "for each", "fixed", "off by", "exponent", *names]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for growth in growths:
        line, unit = growth.line, growth.unit
        cells = [
            growth.part,
            ", ".join(f"{size:.6g}" for size in growth.sizes),
            ", ".join(written(cost, unit) for cost in growth.costs),
            f"{written(line.factors[1], unit)} / {growth.per}",
            written(line.factors[0], unit),
            f"{line.off:.0%}",
            f"{growth.exponent:.2f}",
            *(
                written(growth.at(growth.ahead[name]), unit) if name in growth.ahead else "-"
                for name in names
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def ring_causes(processes: int, num_bytes: float) -> tuple[float, float]:
    """Return the messages in a row, and the bytes that each process sends, of a ring all-reduce.

    Patarasuk and Yuan 2009: a sum over p processes takes 2 (p - 1) messages of a p-th of the bytes.
    """
    messages = 2 * (processes - 1)
    return float(messages), messages / processes * num_bytes
