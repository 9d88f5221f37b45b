"""The page of a run, while it is trained and afterwards: one file that needs no network."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.report.charts.series_charts import line_chart
from utils.report.pages.budget_section import BudgetSection
from utils.report.pages.data_page import ClassRow
from utils.report.pages.page_template import Figure, confusion_view, page_environment
from utils.report.tables.budget_text import percent
from utils.structures.metrics_columns import VALIDATION, term_columns, validation_columns
from utils.structures.results import EvalResult

REFRESH_S = 20
"""Seconds after which a browser reads the page of a running training again."""

Row = Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSection:
    """What the run learns from: objects of each class, charts, maps and labelled samples."""

    split_names: Sequence[str]
    class_rows: Sequence[ClassRow]
    charts: Sequence[str]
    maps: Sequence[str]
    sheets: Sequence[tuple[str, Sequence[Figure]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Everything the page shows; metrics come as they were computed, nothing is computed here."""

    title: str
    state: str
    """In words: running, finished, stopped, and where."""
    is_live: bool
    """Then a browser reads the page again and again."""
    result: EvalResult | None
    """The last evaluation; None before the first, or without validation data."""
    class_names: Sequence[str]
    history: Sequence[Row]
    """One row per epoch, as in metrics.csv."""
    facts: Mapping[str, str]
    """Short lines under the headline: date, data, network, time, machine."""
    notes: Sequence[str]
    """Plain sentences a reader should know: rejected labels, limits that were hit."""
    curves: Sequence[str] = ()
    """Charts of the final evaluation."""
    data: DataSection | None = None
    budget: BudgetSection | None = None
    """Where the loss came from, if it was measured."""
    figures: Sequence[Figure] = ()
    files: Sequence[tuple[str, str, str]] = ()
    """Name in the run's folder, size, what it holds."""
    steps: Sequence[tuple[str, str]] = ()
    """What to do next and the command for it."""
    commands: Sequence[str]
    """What started the run."""
    config_text: str


def read_history(path: Path) -> list[dict[str, float | None]]:
    """Return the rows of a metrics.csv; an empty cell is None."""
    with path.open(newline="") as file:
        return [
            {key: float(text) if text else None for key, text in row.items()}
            for row in csv.DictReader(file)
        ]


def run_page_text(page: RunPage) -> str:
    """Return the page of a run as HTML."""
    environment = page_environment()
    environment.filters["percent"] = percent
    return environment.get_template("run.html").render(
        page=page,
        refresh_s=REFRESH_S,
        charts=course_charts(page.history),
        confusion=page.result and confusion_view(page.result, page.class_names),
    )


def course_charts(history: Sequence[Row]) -> list[str]:
    """Return how accuracy, loss and pace went over the epochs of a metrics.csv."""
    epochs = [float(row["epoch"] or 0) for row in history]

    def column(key: str) -> list[float | None]:
        return [row.get(key) for row in history]

    terms = term_columns(history[0] if history else ())
    accuracy = {"AP50": column("map50"), "AP50-95": column("map50_95")}
    loss = {name: column(name) for name in terms}
    losses = [line_chart("Training loss", epochs, loss)]
    validation = {
        name.removeprefix(VALIDATION): column(name)
        for name in validation_columns(history[0] if history else ())
    }
    if any(value is not None for line in validation.values() for value in line):
        both = {"training": _sum(loss), "validation": _sum(validation)}
        losses = [
            line_chart("Loss, sum of its terms", epochs, both),
            *losses,
            line_chart("Validation loss", epochs, validation),
        ]
    pace = [
        line_chart(title, epochs, {title: column(key)})
        for title, key in (("Learning rate", "lr"), ("Images per second", "images_per_second"))
    ]
    if all(value is None for value in accuracy["AP50"]):
        return [*losses, *pace]
    operating = {"precision": column("precision"), "recall": column("recall")}
    return [
        line_chart("Validation AP", epochs, accuracy, y_range=(0.0, 1.0)),
        *losses,
        _overlay(epochs, loss, accuracy["AP50-95"]),
        line_chart("At the best F1", epochs, operating, y_range=(0.0, 1.0)),
        *pace,
    ]


def _overlay(
    epochs: Sequence[float], loss: Mapping[str, Sequence[float | None]], ap: Sequence[float | None]
) -> str:
    """Return the loss terms and AP as shares of their highest: AP falls while the loss falls on
    where a network begins to learn its training images by heart.
    """
    shares = {f"{name} loss": _of_highest(values) for name, values in loss.items()}
    return line_chart(
        "Loss and AP, share of the highest",
        epochs,
        {"AP50-95": _of_highest(ap), **shares},
        y_range=(0.0, 1.02),
    )


def _sum(terms: Mapping[str, Sequence[float | None]]) -> list[float | None]:
    """Return the sum of the terms of each epoch, None where one is missing."""
    return [
        None if None in values else math.fsum(value for value in values if value is not None)
        for values in zip(*terms.values(), strict=True)
    ]


def _of_highest(values: Sequence[float | None]) -> list[float | None]:
    highest = max((value for value in values if value is not None), default=0.0) or 1.0
    return [None if value is None else value / highest for value in values]
