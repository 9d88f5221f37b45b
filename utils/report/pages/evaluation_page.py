"""The page of one evaluation: a single HTML file that needs neither network nor script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.metrics.analysis import Analysis
from utils.metrics.score_curves import mean_f1
from utils.report.charts.evaluation_charts import MEANINGS, confusion_chart, evaluation_charts
from utils.report.pages.page_template import page_environment
from utils.report.pages.run_page import Figure
from utils.structures.results import EvalResult

LARGEST_TABLE = 20
"""Most classes whose confusion is a table with numbers; more are a map."""
LISTED_CONFUSIONS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPage:
    """Everything the page shows; nothing is computed here."""

    title: str
    command: str
    facts: Mapping[str, str]
    """Short lines under the headline: weights, data, settings."""
    result: EvalResult
    analysis: Analysis
    class_names: Sequence[str]
    worst: Mapping[str, Sequence[tuple[str, int]]]
    """Kind of error -> (name of the image, errors), most errors first."""
    figures: Sequence[Figure]


def write_evaluation_page(path: Path, page: EvaluationPage) -> None:
    """Write the page to `path`."""
    environment = page_environment()
    names = [*page.class_names, "background"]
    areas = evaluation_charts(page.analysis, page.class_names)
    text = environment.get_template("evaluation.html").render(
        page=page,
        charts=[area.figure() for area in areas.values()],
        rows=list(zip(page.result.per_class.items(), page.analysis.thresholds, strict=True)),
        mean_f1=mean_f1(page.analysis.thresholds),
        confusion=confusion_rows(page.result.confusion, names),
        confusions=largest_confusions(page.result.confusion, names)[:LISTED_CONFUSIONS],
        names=names,
        is_table=len(page.class_names) <= LARGEST_TABLE,
        confusion_map=confusion_chart(page.result.confusion, names).figure(),
        meanings=MEANINGS,
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def confusion_rows(
    confusion: Sequence[Sequence[int]], names: Sequence[str]
) -> list[tuple[str, list[tuple[int, float]]]]:
    """Return rows of (name, cells), each cell (count, share of its row) for the heat colour."""
    return [
        (name, [(count, count / max(1, sum(counts))) for count in counts])
        for name, counts in zip(names, confusion, strict=True)
    ]


def largest_confusions(
    confusion: Sequence[Sequence[int]], names: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what is taken for something else, most frequent first; background is no class."""
    found = [
        {"true": names[row], "found": names[column], "count": count, "share": count / sum(counts)}
        for row, counts in enumerate(confusion[:-1])
        for column, count in enumerate(counts[:-1])
        if row != column and count
    ]
    return sorted(found, key=lambda one: -one["count"])
