"""What a check found: how often, where, in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from data.doctor.checks import CHECKS, SEVERITIES, Check, Severity

MOST_PLACES = 200
"""Places that a finding keeps; the count is always that of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a fault is: a file, and what is known beyond that."""

    path: str
    location: str = ""
    """"line 3", "annotation 17", "object 2", or empty for the whole file."""
    value: str = ""
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    """xyxy pixels of the boxes concerned."""
    other: str = ""
    """Second file of a pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault of one split ("" where it concerns the whole data set)."""

    code: str
    split: str
    message: str
    count: int
    places: tuple[Place, ...] = ()

    @property
    def check(self) -> Check:
        """What the table says about this kind of fault."""
        return CHECKS[self.code]

    @property
    def severity(self) -> Severity:
        """error, warning or note."""
        return self.check.severity

    def line(self) -> str:
        """Return one line for the screen."""
        where = f" ({self.split})" if self.split else ""
        return f"{self.severity}: {self.check.title}{where}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` writes of it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "split": self.split,
            "title": self.check.title,
            "message": self.message,
            "advice": self.check.advice,
            "count": self.count,
            "places": [_place(place) for place in self.places],
        }


def found(
    code: str, split: str, message: str, places: Iterable[Place] = (), *, count: int | None = None
) -> Finding:
    """Return a finding that keeps the first places; `count` is their number where not given."""
    kept = tuple(places)
    number = len(kept) if count is None else count
    return Finding(code=code, split=split, message=message, count=number, places=kept[:MOST_PLACES])


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings by severity, then in the order of the table; stable."""
    order = {code: number for number, code in enumerate(CHECKS)}
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), order[one.code]))


def by_code(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Return the findings of each code together, codes in the order they come."""
    grouped: dict[str, list[Finding]] = {}
    for finding in findings:
        grouped.setdefault(finding.code, []).append(finding)
    return list(grouped.values())


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return "1 box" or "2 boxes"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def examples(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _place(place: Place) -> dict[str, Any]:
    stated = {
        "file": place.path,
        "location": place.location,
        "value": place.value,
        "boxes": [[round(corner, 2) for corner in box] for box in place.boxes],
        "other": place.other,
    }
    return {key: value for key, value in stated.items() if value}
