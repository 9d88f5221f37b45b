"""The page of a data set: a single HTML file that needs neither network nor script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.report.pages.page_template import Figure, page_environment

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingFigure:
    """A picture of a finding; `source` is a data URI."""

    source: str
    caption: str
    is_pair: bool = False
    """Two pictures side by side, which need more room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingSection:
    """One kind of fault as the page shows it, with what was found in each split."""

    severity: str
    code: str
    title: str
    messages: Sequence[tuple[str, str]]
    """Split and what was found in it."""
    advice: str
    places: Sequence[str]
    """Lines that name files, rows and values."""
    num_more: int
    """Places that are not listed."""
    figures: Sequence[FindingFigure]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """Objects of one class in each split."""

    name: str
    counts: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPage:
    """Everything the page shows; nothing is computed here."""

    title: str
    command: str
    facts: Mapping[str, str]
    split_names: Sequence[str]
    split_rows: Sequence[tuple[str, Sequence[str]]]
    """What is counted -> its number in every split."""
    findings: Sequence[FindingSection]
    class_rows: Sequence[ClassRow]
    """Most frequent first."""
    charts: Sequence[str]
    heat_maps: Sequence[str]
    sheets: Sequence[tuple[str, Sequence[Figure]]]
    """Split and labelled samples of it."""


def write_data_page(path: Path, page: DataPage) -> None:
    """Write the page to `path`."""
    environment = page_environment()
    text = environment.get_template("data.html").render(
        page=page,
        counts={
            severity: sum(one.severity == severity for one in page.findings)
            for severity in SEVERITIES
        },
        verdict=_verdict(page),
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _verdict(page: DataPage) -> str:
    severities = {one.severity for one in page.findings}
    if "error" in severities:
        return "Fix the errors before you train."
    if "warning" in severities:
        return "Usable; look at the warnings."
    return "Sound."
