"""What all pages share: the templates they are made from, pictures, the confusion matrix."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from utils.report.charts.evaluation_charts import confusion_chart
from utils.report.charts.svg_file import STYLE
from utils.structures.results import EvalResult

TEMPLATES = Path(__file__).parent / "templates"
LARGEST_TABLE = 20
"""Most classes whose confusion is a table with numbers; more are a map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture with its caption; `source` is a data URI."""

    source: str
    caption: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionView:
    """The confusion matrix as a page shows it, background last.

    Rows are (name, cells), each cell (count, share of its row) for the heat colour.
    """

    names: Sequence[str]
    rows: Sequence[tuple[str, Sequence[tuple[int, float]]]]
    threshold: float
    is_table: bool
    map: str
    """The same as a chart."""


def confusion_view(result: EvalResult, class_names: Sequence[str]) -> ConfusionView:
    """Return the confusion matrix of an evaluation for `confusion.html`."""
    names = [*class_names, "background"]
    return ConfusionView(
        names=names,
        rows=[
            (name, [(count, count / max(1, sum(counts))) for count in counts])
            for name, counts in zip(names, result.confusion, strict=True)
        ],
        threshold=result.operating_points["given"]["threshold"],
        is_table=len(class_names) <= LARGEST_TABLE,
        map=confusion_chart(result.confusion, names).figure(),
    )


@cache
def page_environment() -> Environment:
    """Return jinja2's environment for our pages: text is escaped, a missing value is an error.

    Templates are compiled once: the page of a run is written after every epoch.
    """
    environment = Environment(
        loader=FileSystemLoader((TEMPLATES, STYLE.parent)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = lambda value: "-" if value is None else f"{value:.3f}"
    return environment
