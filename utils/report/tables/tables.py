"""An `EvalResult` as text for the screen."""

from collections.abc import Mapping, Sequence

from utils.structures.results import ClassResult, EvalResult

_LONGEST_NAME = 24
_MOST_LETTERS = 1000
_POINT_KEYS = ("threshold", "precision", "recall", "f1")
_POINT_HEADS = ("score", "precision", "recall", "F1")
_POINT_TITLES = {"best_f1": "all, at the best F1", "given": "all, at the given score"}


def format_result(result: EvalResult) -> str:
    """Return the numbers as three small tables; "-" where there is nothing to judge.

    Classes come in order of their index; a long name is cut in the middle. Limits that may have
    cost detections are named at the end; of limits that no image reached nothing is said.
    """
    counts = result.counts
    ignored = f" and {counts['ignored']} ignored" if counts["ignored"] else ""
    summary = (
        f"{counts['images']} images, {counts['truths']} objects{ignored}, "
        f"{counts['detections']} detections"
    )
    parts = [
        summary,
        table(_quality_rows(result)),
        table(_point_rows(result.operating_points)),
        table(_class_rows(result.per_class)),
        *_limits(counts),
    ]
    return "\n\n".join(parts)


def _quality_rows(result: EvalResult) -> list[list[str]]:
    sizes, limits = result.by_size, result.average_recall
    blank = [""] * len(sizes)
    most = max(limits, key=int)
    rows = [
        ["COCO", "all", *sizes],
        ["AP", number(result.map50_95), *(number(sizes[size]["ap"]) for size in sizes)],
        ["AP50", number(result.map50), *blank],
        ["AP75", number(result.map75), *blank],
    ]
    for limit, recall in limits.items():
        by_size = [number(sizes[size]["ar"]) for size in sizes] if limit == most else blank
        rows.append([f"AR, {limit} per class", number(recall), *by_size])
    return rows


def _point_rows(points: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    rows = [["IoU 0.50", *_POINT_HEADS]]
    for name, point in points.items():
        values = [number(point[key]) for key in _POINT_KEYS]
        rows.append([_POINT_TITLES.get(name, name), *values])
    return rows


def _class_rows(per_class: Mapping[str, ClassResult]) -> list[list[str]]:
    rows = [["class, at its best F1", "objects", "found", "AP", "AP50", *_POINT_HEADS]]
    for name, quality in per_class.items():
        point = [quality.threshold, quality.precision, quality.recall, quality.f1]
        numbers = map(number, [quality.ap, quality.ap50, *point])
        counts = [str(quality.num_truths), str(quality.num_detections)]
        rows.append([shortened(name), *counts, *numbers])
    return rows


def _limits(counts: Mapping[str, int]) -> list[str]:
    notes = (
        ("images_at_candidate_cap", "candidates", "eval.max_candidates"),
        ("images_at_detection_cap", "detections", "eval.max_detections"),
    )
    return [
        f"On {counts[key]} of {counts['images']} images {what} were cut off at {setting}; "
        "raise it to see whether they matter."
        for key, what, setting in notes
        if counts.get(key)
    ]


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return lines with the first column aligned left, the others right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Return three decimals, "-" where there is none."""
    return "-" if value is None else f"{value:.3f}"


def shortened(name: str) -> str:
    """Return a long name cut in the middle; what would move the cursor is escaped."""
    name = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name[:_MOST_LETTERS]
    )
    if len(name) <= _LONGEST_NAME:
        return name
    half = (_LONGEST_NAME - 3) // 2
    return f"{name[: _LONGEST_NAME - 3 - half]}...{name[-half:]}"
