"""Faults of label rows and files that reading the labels has decided on already."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from data.doctor.finding import Finding, Place, counted, found
from data.doctor.subject import Subject, class_counts
from data.formats.label_report import Decision

CODES = {
    "same box and class as an earlier row": "box-twice",
    "box has no area": "box-without-area",
    "box is outside the image": "box-outside",
    "box reaches more than 1 px outside": "box-outside",
    "too little of the box is within": "box-outside",
    "label file without image": "label-without-image",
    "images share one label file": "labels-shared",
    "not an image by its name": "file-ignored",
    "image is listed more than once": "listed-twice",
    "image id is listed more than once": "listed-twice",
    "image without XML": "image-without-label-file",
    "image has another size than its labels state": "size-differs",
    "image has other proportions than its labels state": "size-differs",
    "image was resized since it was labelled": "size-differs",
    "boxes count in the pixels as stored": "size-differs",
    "class id is not in": "class-out-of-range",
    "category_id is not in": "class-out-of-range",
}
"""How the reason of a decision begins -> code; other reasons go by what was done."""
_UNKNOWN_CLASS = ("class id is not in", "category_id is not in")
_LEFT_OUT = "its image cannot be used"
_BY_ACTION = {"rejected": "row-rejected", "repaired": "row-repaired", "noted": "row-noted"}


def check_rows(subject: Subject) -> Iterator[Finding]:
    """Yield a finding for each reason in the label reports."""
    for table in subject.splits.values():
        report = table.report
        grouped: dict[tuple[str, str], list[Decision]] = defaultdict(list)
        for decision in report.decisions:
            # The rows of an image that cannot be read are told by the image.
            if decision.reason != _LEFT_OUT:
                grouped[_code(decision), decision.reason].append(decision)
        for (code, reason), decisions in grouped.items():
            yield found(code, table.name, _sentence(reason, decisions), _places(decisions))
        if report.num_rejected > subject.max_rejected * report.num_rows:
            share = report.num_rejected / report.num_rows
            yield found(
                "too-many-rejected",
                table.name,
                f"{report.num_rejected:,} of {report.num_rows:,} rows ({share:.1%}), allowed are "
                f"{subject.max_rejected:.1%}",
                count=report.num_rejected,
            )
        if report.num_unlabelled and "image-without-label-file" not in {
            code for code, _ in grouped
        }:
            yield found(
                "image-without-label-file",
                table.name,
                f"{counted(report.num_unlabelled, 'image')} of {report.num_images:,}",
                count=report.num_unlabelled,
            )
    yield from _ids_from_one(subject)


def _ids_from_one(subject: Subject) -> Iterator[Finding]:
    """Class 0 is never used, and rows are rejected for the first id that has no name."""
    num_classes = len(subject.class_names)
    beyond: list[Decision] = []
    for table in subject.splits.values():
        if len(table.labels) and class_counts(table, num_classes)[0]:
            return
        beyond += [
            decision
            for decision in table.report.decisions
            if decision.reason.startswith(_UNKNOWN_CLASS)
            and _first_number(decision.value) == num_classes
        ]
    if beyond:
        yield found(
            "ids-from-one",
            "",
            f"no box has class 0 ({subject.class_names[0]}), {counted(len(beyond), 'row')} have "
            f"class {num_classes} of {num_classes}",
            _places(beyond),
        )


def _first_number(value: str) -> float | None:
    try:
        return float(value.split()[0])
    except (ValueError, IndexError):
        return None


def _code(decision: Decision) -> str:
    if decision.action == "rejected" and decision.location == "image":
        return "image-unreadable"
    known = (code for start, code in CODES.items() if decision.reason.startswith(start))
    code = next(known, _BY_ACTION[decision.action])
    is_lost = decision.action == "rejected" or code != "box-outside"
    return code if is_lost else _BY_ACTION[decision.action]


def _sentence(reason: str, decisions: Sequence[Decision]) -> str:
    value = decisions[0].value
    example = f"{decisions[0].place}: {value[:60]}" if value else decisions[0].place
    return f"{len(decisions):,} x {reason}, e.g. {example}"


def _places(decisions: Sequence[Decision]) -> list[Place]:
    return [
        Place(path=decision.file, location=decision.location, value=decision.value)
        for decision in decisions
    ]
