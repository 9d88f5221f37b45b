"""Faults of label rows and files that reading the labels has decided on already."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from data.doctor.finding import Finding, Place, counted, found
from data.doctor.subject import Subject, class_counts
from data.formats import rows, voc, yolo_files
from data.label_report import Decision
from data.records import SIZE_DIFFERS

CODES = {
    rows.DUPLICATE: "box-twice",
    rows.NO_AREA: "box-without-area",
    rows.OUTSIDE: "box-outside",
    rows.TOO_FAR_OUT: "box-outside",
    yolo_files.ORPHAN_LABELS: "label-without-image",
    yolo_files.SHARED_LABELS: "labels-shared",
    yolo_files.NOT_AN_IMAGE_NAME: "file-ignored",
    yolo_files.LISTED_TWICE: "listed-twice",
    voc.NO_XML: "image-without-label-file",
    SIZE_DIFFERS: "size-differs",
}
"""Reason of a decision -> code; other reasons go by what was done."""
_UNKNOWN_CLASS = ("class id is not in", "category_id is not in")
_BY_ACTION = {"rejected": "row-rejected", "repaired": "row-repaired", "noted": "row-noted"}


def check_rows(subject: Subject) -> Iterator[Finding]:
    """Yield a finding for each reason in the label reports."""
    for table in subject.splits.values():
        report = table.report
        grouped: dict[tuple[str, str], list[Decision]] = defaultdict(list)
        for decision in report.decisions:
            # The rows of an image that cannot be read are told by the image.
            if decision.reason != rows.IMAGE_LEFT_OUT:
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
    if decision.reason.startswith(_UNKNOWN_CLASS):
        return "class-out-of-range"
    code = CODES.get(decision.reason, _BY_ACTION[decision.action])
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
