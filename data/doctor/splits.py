"""Splits as a whole: there, large enough, with objects."""

from collections.abc import Iterator
from itertools import combinations

from data.doctor.finding import Finding, Place, found
from data.doctor.subject import SplitTable, Subject

FEW_IMAGES = 50
MOSTLY = 0.5
SHARES_DIFFER = 0.2


def check_splits(subject: Subject) -> Iterator[Finding]:
    """Yield findings on what splits there are and what share of them is background."""
    if "train" in subject.splits and "val" not in subject.splits:
        yield found("no-val-split", "", "only the last weights can be kept", count=1)
    for table in subject.splits.values():
        images = len(table.paths)
        if not len(table.boxes):
            yield found("no-objects", table.name, f"{images:,} images, all background", count=1)
        elif _background(table) > MOSTLY:
            places = [Place(path=table.paths[i]) for i in (table.counts == 0).nonzero()[0]]
            message = f"{len(places):,} of {images:,} images"
            yield found("background-share", table.name, message, places)
        if table.name != "train" and images < FEW_IMAGES:
            yield found("few-images", table.name, f"{images} images", count=images)
    for one, two in combinations(subject.splits.values(), 2):
        shares = _background(one), _background(two)
        if abs(shares[0] - shares[1]) > SHARES_DIFFER and max(shares) < 1:
            message = f"{shares[0]:.0%} of {one.name}, {shares[1]:.0%} of {two.name}"
            yield found("background-differs", f"{one.name}, {two.name}", message, count=1)


def _background(table: SplitTable) -> float:
    return float((table.counts == 0).mean())
