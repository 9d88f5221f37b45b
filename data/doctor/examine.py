"""All checks in a table, run over a data set: the cheap ones at every training, all on request."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from data.doctor.boxes import check_boxes
from data.doctor.classes import check_classes
from data.doctor.conventions import check_conventions
from data.doctor.copies import check_copies, check_names
from data.doctor.exchanged import check_exchanged
from data.doctor.files import check_pixels, check_sizes
from data.doctor.finding import Finding, by_code, worst_first
from data.doctor.overlaps import check_overlaps
from data.doctor.rows import check_rows
from data.doctor.scan import scan_images
from data.doctor.splits import check_splits
from data.doctor.subject import Subject, tabulate
from data.index_cache import IndexCache
from data.records.split import Split

Family = Callable[[Subject], Iterator[Finding]]
Cost = Literal["arrays", "pairs", "pixels"]

FAMILIES: dict[str, tuple[Family, Cost]] = {
    "rows": (check_rows, "arrays"),
    "splits": (check_splits, "arrays"),
    "names": (check_names, "arrays"),
    "sizes": (check_sizes, "arrays"),
    "classes": (check_classes, "arrays"),
    "boxes": (check_boxes, "arrays"),
    "conventions": (check_conventions, "arrays"),
    "exchanged": (check_exchanged, "arrays"),
    "overlaps": (check_overlaps, "pairs"),
    "pixels": (check_pixels, "pixels"),
    "copies": (check_copies, "pixels"),
}
"""Name -> checks and what they cost. arrays: one pass over the labels, cheap for any data set;
pairs: every image by itself; pixels: every image is looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The data set as it was looked at, and what was found, worst first."""

    subject: Subject
    findings: tuple[Finding, ...]

    @property
    def is_sound(self) -> bool:
        """Tell whether there is nothing but notes."""
        return all(finding.severity == "note" for finding in self.findings)


def examine(
    splits: Sequence[Split],
    *,
    image_size: int,
    max_rejected: float = 0.01,
    look_at_images: bool = True,
    cache: IndexCache | None = None,
    cache_name: str = "scan",
) -> Diagnosis:
    """Run all checks, or those that need no pixels.

    Args:
        splits: of one data set, with the same class names; at least one.
        image_size: long side of the network's input in pixels.
        max_rejected: share of label rows that may be unusable.
        look_at_images: also check files and compare images with each other.
        cache: keeps what was seen of the images under `cache_name`.
        cache_name: entry of the cache.
    """
    paths = {record.path: None for split in splits for record in split.records}
    subject = Subject(
        splits={split.name: tabulate(split) for split in splits},
        class_names=splits[0].class_names,
        image_size=image_size,
        max_rejected=max_rejected,
        scans=scan_images(paths, cache=cache, name=cache_name) if look_at_images else {},
    )
    costs: tuple[Cost, ...] = ("arrays", "pairs")
    if look_at_images:
        costs += ("pixels",)
    return Diagnosis(subject=subject, findings=tuple(_run(subject, costs)))


def worst_lines(splits: Sequence[Split], *, image_size: int, most: int = 3) -> list[str]:
    """Return the worst errors and warnings, a line each, and how to see all.

    What the report on labels says anyway is left out. Milliseconds where there are few labels; a
    pass over some arrays where there are many.
    """
    subject = Subject(
        splits={split.name: tabulate(split) for split in splits},
        class_names=splits[0].class_names,
        image_size=image_size,
        scans={},
    )
    told = {finding.code for finding in check_rows(subject)} - {"ids-from-one"}
    findings = [
        group[0]
        for group in by_code(_run(subject, ("arrays",)))
        if group[0].severity != "note" and group[0].code not in told
    ]
    lines = [f"data: {finding.line()}" for finding in findings[:most]]
    rest = len(findings) - len(lines)
    if lines:
        more = f"{rest} more; " if rest > 0 else ""
        lines.append(f"data: {more}check_data.py looks at the images, too, and draws what it finds")
    return lines


def _run(subject: Subject, costs: Sequence[Cost]) -> list[Finding]:
    chosen = [check for check, cost in FAMILIES.values() if cost in costs]
    return worst_first(finding for check in chosen for finding in check(subject))
