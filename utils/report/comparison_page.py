"""The report of a comparison: one HTML file, made from comparison.json and a few pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from utils.report.comparison_charts import (
    budget_charts,
    class_chart,
    difference_chart,
    precision_recall_chart,
    reliability_chart,
    score_chart,
    search_chart,
    seed_chart,
)
from utils.report.plot_area import css
from utils.report.run_page import TEMPLATES, Figure

GROUPS = {
    "accuracy": "Accuracy and operating points",
    "errors": "Kinds of errors",
    "calibration": "Calibration",
    "cost": "Cost",
}
_SCORES = {
    "raw": "Reliability of raw scores",
    "isotonic": "Reliability after isotonic regression on val",
    "inverse": "Reliability after focal's inverse map",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonPage:
    """Everything the page shows; nothing is computed here."""

    title: str
    content: Mapping[str, Any]
    """comparison.json."""
    figures: Sequence[Figure]
    """Test images where arms differ most."""


def write_comparison_page(path: Path, page: ComparisonPage) -> None:
    """Write the page to `path`."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    environment.filters["signed"] = lambda value: "-" if value is None else f"{value:+.2f}"
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
    content = page.content
    text = environment.get_template("comparison.html").render(
        page=page,
        content=content,
        arms=content["arms"],
        colors={name: css(index) for index, name in enumerate(content["arms"])},
        groups=GROUPS,
        charts=_charts(content),
    )
    path.write_text(text, encoding="utf-8")


def _charts(content: Mapping[str, Any]) -> dict[str, list[str]]:
    arms, margin = content["arms"], content["test"]["margin"]
    most = max(
        (v for arm in arms.values() for name in ("right", "wrong") for v in _above(arm, name)),
        default=1.0,
    )
    return {
        "main": [
            difference_chart(arms, margin=margin, baseline=content["baseline"]),
            seed_chart(arms),
        ],
        "curves": [precision_recall_chart(arms, iou) for iou in ("0.50", "0.75")],
        "calibration": [
            chart
            for scores, title in _SCORES.items()
            if (chart := reliability_chart(arms, scores, title))
        ],
        "scores": [
            score_chart(name, arm, css(index), max(most, 1e-3))
            for index, (name, arm) in enumerate(arms.items())
        ],
        "classes": [
            class_chart(name, arm, css(index))
            for index, (name, arm) in enumerate(arms.items())
            if arm.get("per_class")
        ],
        "budget": budget_charts(arms),
        "search": [chart for chart in [search_chart(content.get("tuning") or {}, arms)] if chart],
    }


def _above(arm: Mapping[str, Any], name: str) -> list[float]:
    """Return the bars but the lowest, which holds what no one would ever show a person."""
    values: list[float] = arm["plots"]["scores"][name]
    return values[1:]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"
