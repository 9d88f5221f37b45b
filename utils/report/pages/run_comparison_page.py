"""The page of two runs side by side: settings that differ, curves over each other, classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from utils.report.charts.series_charts import line_chart
from utils.report.comparison.differences import class_charts
from utils.report.pages.page_template import page_environment
from utils.structures.metrics_columns import VALIDATION, term_columns, validation_columns

Row = Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparisonPage:
    """Everything the page shows; nothing is computed here."""

    names: tuple[str, str]
    rows: Sequence[Mapping[str, Any]]
    """What is known of each run: state, data, model, AP, epochs, when."""
    settings: Mapping[str, tuple[str, str]]
    histories: Sequence[Sequence[Row]]
    """Rows of metrics.csv of each."""
    difference: Mapping[str, Any] | None
    """delta, low, high, images and classes; None where there is no interval."""
    classes: Mapping[str, tuple[float, float]]
    """AP of each class in both."""
    warning: str


def run_comparison_text(page: RunComparisonPage) -> str:
    """Return the page as HTML."""
    environment = page_environment()
    environment.filters["signed"] = lambda value: f"{value:+.2f}"
    return environment.get_template("run_comparison.html").render(
        page=page, charts=_over_each_other(page), class_charts=_class_charts(page)
    )


def _over_each_other(page: RunComparisonPage) -> list[str]:
    first = page.histories[0][0] if page.histories[0] else {}
    columns = {"AP50-95": "map50_95", "AP50": "map50", "Learning rate": "lr"}
    columns |= {f"Training loss: {name}": name for name in term_columns(first)}
    columns |= {
        f"Validation loss: {name.removeprefix(VALIDATION)}": name
        for name in validation_columns(first)
    }
    epochs = sorted({row["epoch"] or 0.0 for rows in page.histories for row in rows})
    charts = []
    for title, key in columns.items():
        series: dict[str, list[float | None]] = {}
        for name, rows in zip(page.names, page.histories, strict=True):
            values = {row["epoch"]: row.get(key) for row in rows}
            series[name] = [values.get(epoch) for epoch in epochs]
        charts.append(line_chart(title, epochs, series))
    return charts


def _class_charts(page: RunComparisonPage) -> list[str]:
    if page.difference is None:
        return []
    first, second = page.names
    return class_charts({first: {}, second: {"per_class": {"classes": page.difference["classes"]}}})
