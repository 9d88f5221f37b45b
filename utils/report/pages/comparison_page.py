"""The report of a comparison: one HTML file, made from comparison.json and a few pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.report.charts.plot_area import css
from utils.report.comparison.budget import (
    cumulative_charts,
    difficulty_charts,
    measured_epochs,
)
from utils.report.comparison.course import course_charts
from utils.report.comparison.curves import (
    f1_chart,
    overlap_chart,
    precision_recall_chart,
    reliability_chart,
    score_charts,
)
from utils.report.comparison.differences import class_charts, difference_chart, seed_chart
from utils.report.comparison.search import heat_maps, search_chart
from utils.report.pages.page_template import Figure, page_environment

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
    environment = page_environment()
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
        known=_known(content),
        charts=_charts(content),
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _known(content: Mapping[str, Any]) -> set[str]:
    """Return the metrics that any arm has a number for; a row of dashes tells nothing."""
    arms, keys = content["arms"].values(), [metric["key"] for metric in content["metrics"]]
    return {key for key in keys if any(arm["numbers"][key]["mean"] is not None for arm in arms)}


def _charts(content: Mapping[str, Any]) -> dict[str, list[str]]:
    arms, margin = content["arms"], content["test"]["margin"]
    tuning = content.get("tuning") or {}
    reliabilities = [reliability_chart(arms, scores, title) for scores, title in _SCORES.items()]
    earlier = range(len(measured_epochs(arms)) - 1)
    charts = {
        "main": [
            difference_chart(arms, margin=margin, baseline=content["baseline"]),
            seed_chart(arms),
        ],
        "curves": [
            *(precision_recall_chart(arms, iou) for iou in ("0.50", "0.75")),
            f1_chart(arms),
        ],
        "calibration": [*reliabilities, overlap_chart(arms)],
        "scores": score_charts(arms),
        "classes": class_charts(arms),
        "budget": [*cumulative_charts(arms), *difficulty_charts(arms, -1)],
        "earlier": [chart for stage in earlier for chart in difficulty_charts(arms, stage)],
        "course": course_charts(arms),
        "grid": heat_maps(content.get("focal_grid") or [], what="mAP50-95 on val"),
        "search": [search_chart(tuning, arms), *_trial_maps(tuning)],
    }
    return {group: [chart for chart in own if chart] for group, own in charts.items()}


def _trial_maps(tuning: Mapping[str, Any]) -> list[str]:
    points = [
        {"name": f"{arm}, trial {number}", **trial["focal"], "map50_95": trial["map50_95"]}
        for arm, entry in tuning.items()
        for number, trial in enumerate(entry["trials"])
        if trial.get("focal") and trial["map50_95"] is not None
    ]
    return heat_maps(points, what="Trials, mAP50-95 on val")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if abs(value) < 1000 else f"{value:.0f}"
