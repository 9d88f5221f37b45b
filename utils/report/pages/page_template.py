"""The templates that pages are made from: one frame, one style sheet, one script that sorts."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from utils.report.charts.svg_file import STYLE

TEMPLATES = Path(__file__).parent / "templates"


def page_environment() -> Environment:
    """Return jinja2's environment for our pages: text is escaped, a missing value is an error."""
    environment = Environment(
        loader=FileSystemLoader((TEMPLATES, STYLE.parent)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["score"] = lambda value: "-" if value is None else f"{value:.3f}"
    return environment
