"""Class names and how often each class occurs, per split and between splits."""

import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from data.doctor.finding import Finding, counted, examples, found
from data.doctor.subject import SplitTable, Subject, class_counts

RARE = 20
"""Objects of a class in train below which it is called rare."""
IMBALANCE = 10.0
SHARES_DIFFER = 0.15
"""Total variation distance of two mixes of classes, 0 to 1, beyond what chance explains."""
_FEWEST_OBJECTS = 100

Counts = npt.NDArray[np.int64]


def check_classes(subject: Subject) -> Iterator[Finding]:
    """Yield findings on names and numbers of the classes."""
    yield from _names(subject)
    counts = {
        name: class_counts(table, len(subject.class_names))
        for name, table in subject.splits.items()
    }
    total = np.sum(list(counts.values()), axis=0)
    yield from _unused(subject, total)
    yield from _missing(subject, counts, total)
    if "train" in counts:
        yield from _balance(subject, counts["train"])
        for table in subject.evaluated:
            yield from _shares(subject, subject.splits["train"], table)


def _names(subject: Subject) -> Iterator[Finding]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for name in subject.class_names:
        grouped[re.sub(r"[\s_\-.]+", "", name).casefold()].append(name)
    alike = [" = ".join(group) for group in grouped.values() if len(group) > 1]
    if alike:
        yield found("class-names-alike", "", examples(alike), count=len(alike))
    if all(re.fullmatch(r"(class)?[\s_]*\d+", name.strip(), re.I) for name in subject.class_names):
        names = list(subject.class_names)
        yield found("class-names-numbers", "", examples(names), count=len(names))


def _unused(subject: Subject, total: Counts) -> Iterator[Finding]:
    unused = [subject.class_names[label] for label in np.flatnonzero(total == 0)]
    if unused and total.any():
        message = f"{counted(len(unused), 'class', 'classes')}: {examples(unused, 6)}"
        yield found("class-unused", "", message, count=len(unused))


def _missing(subject: Subject, counts: dict[str, Counts], total: Counts) -> Iterator[Finding]:
    for name, own in counts.items():
        if not own.any():
            continue
        elsewhere = total - own
        absent = np.flatnonzero((own == 0) & (elsewhere > 0))
        if len(absent):
            names = [
                f"{subject.class_names[label]} ({elsewhere[label]} elsewhere)" for label in absent
            ]
            message = f"{counted(len(absent), 'class', 'classes')}: {examples(names, 6)}"
            yield found("class-missing", name, message, count=len(absent))


def _balance(subject: Subject, train: Counts) -> Iterator[Finding]:
    present = np.flatnonzero(train)
    rare = present[train[present] < RARE]
    if len(rare):
        named = [
            f"{subject.class_names[label]} {train[label]}"
            for label in rare[np.argsort(train[rare], kind="stable")]
        ]
        message = (
            f"{counted(len(rare), 'class', 'classes')} below {RARE} objects: {examples(named, 6)}"
        )
        yield found("class-rare", "train", message, count=len(rare))
    if len(present) > 1:
        most, least = present[train[present].argmax()], present[train[present].argmin()]
        ratio = train[most] / train[least]
        if ratio >= IMBALANCE:
            message = (
                f"{subject.class_names[most]} {train[most]:,}, {subject.class_names[least]} "
                f"{train[least]:,}: {ratio:.0f} to 1"
            )
            yield found("class-imbalance", "train", message, count=1)


def _shares(subject: Subject, train: SplitTable, other: SplitTable) -> Iterator[Finding]:
    """Yield a finding where the mixes differ by more than chance explains.

    Objects of one image are not independent of each other, so images, not objects, count as the
    draws that chance is computed from.
    """
    counts = [class_counts(table, len(subject.class_names)) for table in (train, other)]
    if min(own.sum() for own in counts) < _FEWEST_OBJECTS:
        return
    shares = [own / own.sum() for own in counts]
    images = [int((table.counts > 0).sum()) for table in (train, other)]
    pooled = sum(counts) / sum(own.sum() for own in counts)
    error = np.sqrt(pooled * (1 - pooled) * sum(1 / number for number in images))
    distance = 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    by_chance = 0.5 * float(error.sum())
    if distance > SHARES_DIFFER + by_chance:
        largest = int(np.abs(shares[0] - shares[1]).argmax())
        message = (
            f"{subject.class_names[largest]} is {shares[0][largest]:.0%} of {train.name} and "
            f"{shares[1][largest]:.0%} of {other.name}"
        )
        yield found("class-shares-differ", f"{train.name}, {other.name}", message, count=1)
