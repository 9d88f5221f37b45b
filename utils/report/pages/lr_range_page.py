"""The page of a learning-rate range test: the curve, what it says, and what was run."""

from collections.abc import Sequence
from dataclasses import dataclass

from utils.report.pages.page_template import page_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class LrRangePage:
    """Everything the page shows; nothing is computed here."""

    title: str
    sentences: Sequence[str]
    """What the curve says; the last one is what to do."""
    chart: str
    points: Sequence[tuple[float, float, float]]
    """Learning rate, loss of the step, smoothed loss; a choice of the steps."""
    files: Sequence[tuple[str, str]]
    """Name beside the page, and what it holds."""
    command: str
    """What trains with the rate that is suggested, empty where none is."""


def lr_range_text(page: LrRangePage) -> str:
    """Return the page as HTML."""
    return page_environment().get_template("lr_range.html").render(page=page)
