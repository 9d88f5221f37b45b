"""The report of one training: a single HTML file that needs neither network nor script."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.report.charts.series_charts import line_chart
from utils.report.pages.budget_section import BudgetSection
from utils.report.pages.page_template import page_environment
from utils.report.tables.budget_text import percent
from utils.structures.metrics_columns import term_columns
from utils.structures.results import EvalResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture with its caption; `source` is a data URI."""

    source: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Everything the page shows; metrics come as they were computed, nothing is computed here."""

    title: str
    command: str
    result: EvalResult
    class_names: Sequence[str]
    history: Sequence[Mapping[str, float | None]]
    """One row per epoch, as in metrics.csv."""
    facts: Mapping[str, str]
    """Short lines under the headline: data, network, time, machine."""
    notes: Sequence[str]
    """Plain sentences a reader should know: rejected labels, caps that were hit."""
    config_text: str
    figures: Sequence[Figure]
    budget: BudgetSection | None = None
    """Where the loss came from, if it was measured."""


def read_history(path: Path) -> list[dict[str, float | None]]:
    """Return the rows of a metrics.csv; an empty cell is None."""
    with path.open(newline="") as file:
        return [
            {key: float(text) if text else None for key, text in row.items()}
            for row in csv.DictReader(file)
        ]


def write_run_page(path: Path, page: RunPage) -> None:
    """Write the report of a training to `path`."""
    environment = page_environment()
    environment.filters["percent"] = percent
    text = environment.get_template("run.html").render(
        page=page, charts=_charts(page.history), confusion=_confusion(page)
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _charts(history: Sequence[Mapping[str, float | None]]) -> list[str]:
    epochs = [float(row["epoch"] or 0) for row in history]

    def columns(**names: str) -> dict[str, list[float | None]]:
        return {label: [row.get(key) for row in history] for label, key in names.items()}

    return [
        line_chart(
            "Validation AP",
            epochs,
            {
                label.replace("_", "-"): values
                for label, values in columns(AP50="map50", AP50_95="map50_95").items()
            },
            y_range=(0.0, 1.0),
        ),
        line_chart(
            "Training loss",
            epochs,
            columns(**{name: name for name in term_columns(history[0] if history else ())}),
        ),
        line_chart("Learning rate", epochs, columns(weights="lr")),
        line_chart("Images per second", epochs, columns(training="images_per_second")),
    ]


def _confusion(page: RunPage) -> dict[str, Any]:
    """Return rows of (name, cells), each cell (count, share of its row) for the heat colour."""
    names = [*page.class_names, "background"]
    rows = []
    for name, counts in zip(names, page.result.confusion, strict=True):
        total = max(1, sum(counts))
        rows.append((name, [(count, count / total) for count in counts]))
    return {"names": names, "rows": rows}
