"""The page of one evaluation: a single HTML file that needs neither network nor script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.metrics.analysis import Analysis
from utils.metrics.score_curves import mean_f1
from utils.report.charts.evaluation_charts import MEANINGS, evaluation_charts
from utils.report.pages.page_template import Figure, confusion_view, page_environment
from utils.structures.results import EvalResult

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
        confusion=confusion_view(page.result, page.class_names),
        confusions=largest_confusions(page.result.confusion, names)[:LISTED_CONFUSIONS],
        meanings=MEANINGS,
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


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
