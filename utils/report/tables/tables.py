"""Results, thresholds, verdicts and the power of a comparison as tables of text."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from utils.metrics.analysis import Analysis
from utils.metrics.score_curves import ClassThreshold, mean_f1
from utils.structures.results import ClassResult, EvalResult

_LONGEST_NAME = 24
_MOST_LETTERS = 1000
_POINT_KEYS = ("threshold", "precision", "recall", "f1")
_POINT_HEADS = ("score", "precision", "recall", "F1")
_POINT_TITLES = {"best_f1": "all, at the best F1", "given": "all, at the chosen score"}


def format_result(result: EvalResult) -> str:
    """Return the numbers as three small tables; "-" where there is nothing to judge.

    Classes come in order of their index; a long name is cut in the middle. Limits that may have
    cost detections are named at the end; of limits that no image reached nothing is said.
    """
    counts = result.counts
    ignored = f" and {counts['ignored']} ignored" if counts["ignored"] else ""
    summary = (
        f"{counts['images']} image{'s' * (counts['images'] != 1)}, "
        f"{counts['truths']} object{'s' * (counts['truths'] != 1)}{ignored}, "
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
    sizes, limits, values = result.by_size, result.average_recall, result.to_json()
    blank = [""] * len(sizes)
    most = max(limits, key=int)
    rows = [
        ["COCO", "all", *sizes],
        ["AP", number(values["map50_95"]), *(number(sizes[size]["ap"]) for size in sizes)],
        ["AP50", number(values["map50"]), *blank],
        ["AP75", number(values["map75"]), *blank],
    ]
    for limit, recall in values["average_recall"].items():
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
        ("images_cut", "detections", "eval.max_detections"),
    )
    return [
        f"{counts[key]} of {counts['images']} images hit the limit of {what}; increase {setting} "
        "if recall matters."
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


HEADS = ("class, IoU 0.50", "objects", "best score", "nearly best", "F1", "precision", "recall")


def threshold_table(analysis: Analysis, class_names: Sequence[str]) -> str:
    """Return a line per class, and what one threshold for all classes costs."""
    shared = analysis.shared_threshold
    rows = [[*HEADS, f"F1 at {shared:.3f}"]]
    for name, one in zip(class_names, analysis.thresholds, strict=True):
        rows.append(
            [shortened(name), *_cells(one), number(one.f1_at_shared if one.num_truths else None)]
        )
    own, common = mean_f1(analysis.thresholds)
    return (
        f"{table(rows)}\n\n"
        f"Mean F1 over classes: {own:.3f} with a threshold each, {common:.3f} with "
        f"{shared:.3f} for all, which is best for all objects pooled.\n"
        "nearly best: scores that reach 99 % of the best F1. To use a threshold: "
        f"predict.py eval.score_threshold={shared:.3f}"
    )


def _cells(one: ClassThreshold) -> list[str]:
    best, near = one.best, one.nearly_best
    span = "-" if near is None else f"{near[0]:.3f} to {near[1]:.3f}"
    if best is None:
        return [str(one.num_truths), *["-"] * 5]
    values = map(number, (best.f1, best.precision, best.recall))
    return [str(one.num_truths), number(best.threshold), span, *values]


class Row(Protocol):
    """One number of seeds."""

    @property
    def seeds(self) -> int:
        """Seeds per arm."""
        ...

    @property
    def detectable(self) -> float | None:
        """Smallest difference found with a probability of 0.8."""
        ...

    @property
    def power_at_margin(self) -> float:
        """Probability of finding a difference of the margin."""
        ...

    @property
    def power_of_equivalence(self) -> float:
        """Probability of showing equivalence of equal arms."""
        ...


def power_table(rows: Sequence[Row], margin: float) -> str:
    """Return a table with one line a number of seeds."""
    finds = f"finds {margin:g}"
    lines = [f"seeds  found with 80 %  {finds:>11}  shows equivalence"]
    for row in rows:
        found = "never" if row.detectable is None else f"{row.detectable:.2f} points"
        lines.append(
            f"{row.seeds:>5}  {found:>15}  {row.power_at_margin:>11.0%}  "
            f"{row.power_of_equivalence:>17.0%}"
        )
    lines.append(
        "found with 80 %: smallest true difference that is called better or worse four times in "
        "five;\nshows equivalence: probability of that verdict where nothing differs.\n"
        "The test images count as given."
    )
    return "\n".join(lines) + "\n"


def verdict_table(content: Mapping[str, Any]) -> str:
    """Return one row an arm; `content` is comparison.json."""
    level = f"{100 * content['test']['level']:g} %"
    lines = [
        f"| arm | mAP50-95 | difference | {level} interval | p | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for name, arm in content["arms"].items():
        mean = f"{arm['map50_95']['mean']:.2f}"
        if arm["verdict"] == "baseline":
            lines.append(f"| {name} | {mean} | | | | baseline |")
            continue
        low, high = arm["interval"]
        lines.append(
            f"| {name} | {mean} | {arm['delta']:+.2f} | {low:+.2f} to {high:+.2f} | "
            f"{arm['p']:.3g} | **{arm['verdict']}** |"
        )
    return "\n".join(lines) + "\n"


def verdict_page(title: str, content: Mapping[str, Any], *, has_pictures: bool) -> str:
    """Return the page that stands beside comparison.json and report.html."""
    pictures = "" if has_pictures else " Pictures are left out of this copy."
    seeds = sorted({len(arm["seeds"]) for arm in content["arms"].values()})
    parts = [
        f"# {title}",
        content["verdict"],
        f"{content['setting']}, {content['data']['test_images']} test images, "
        f"{' or '.join(map(str, seeds))} seeds an arm; "
        f"margin {content['test']['margin']:g} points, correction {content['test']['correction']}.",
        verdict_table(content).rstrip(),
        f"Every number and curve: [report.html](report.html), an offline page; "
        f"[comparison.json](comparison.json).{pictures}",
        "What would change this:",
        "\n".join(f"- {line}" for line in (*content["would_change"], *content["cautions"])),
    ]
    return "\n\n".join(parts) + "\n"
