"""The part of a training's report that shows where the loss and its gradient came from."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.report.charts.series_charts import bar_chart, line_chart
from utils.report.tables.budget_text import branch_sentence, recall_sentence

GROUPS = {
    "positives": "positives",
    "hard_negatives": "hard neg.",
    "easy_negatives": "easy neg.",
}
SIDES = ("positives", "negatives")


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchView:
    """One branch: its charts as SVG and its tables, rows of a name and shares of the branch.

    Each row of `levels` and `classes` ends with three shares of the loss and three of the gradient
    in the order of `GROUPS`; `classes` is empty where the branch knows none.
    """

    name: str
    charts: Sequence[str]
    levels: Sequence[tuple[str, Sequence[float]]]
    classes: Sequence[tuple[str, Sequence[float]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSection:
    """What the template shows; matches are means per image in the last epoch.

    matches: rows of level and matches by anchor, then of all. objects: rows of class, targets,
    those with a match, matches per image.
    """

    sentences: Sequence[str]
    epoch: int
    batches: int
    branches: Sequence[BranchView]
    matches: Sequence[tuple[str, Sequence[float]]]
    objects: Sequence[tuple[str, int, int, float]]


def read_budget_section(
    summary: Path, table: Path, class_names: Sequence[str], loss_names: Mapping[str, str]
) -> BudgetSection | None:
    """Return the section of a run from its budget.json and budget.csv; None where there is none.

    Args:
        summary: budget.json.
        table: budget.csv.
        class_names: in the order of the labels.
        loss_names: names of the losses by branch, as in the configuration.
    """
    if not summary.exists() or not table.exists():
        return None
    epochs = json.loads(summary.read_text(encoding="utf-8"))["epochs"]
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    first, last = epochs[0], epochs[-1]
    return BudgetSection(
        sentences=budget_sentences(epochs, loss_names),
        epoch=last["epoch"],
        batches=last["batches"],
        branches=[
            _branch_view(name, epochs, rows, class_names if name == "classification" else ())
            for name in first["branches"]
        ],
        matches=_matches_by_anchor(last),
        objects=_objects(last, class_names),
    )


def budget_sentences(
    epochs: Sequence[Mapping[str, Any]], loss_names: Mapping[str, str]
) -> list[str]:
    """Return one sentence per branch and one on recall, from the epochs of budget.json."""
    first, last = epochs[0], epochs[-1]
    sentences = [
        branch_sentence(
            name,
            loss_names[name],
            last["branches"][name],
            None if first is last else first["branches"][name],
        )
        for name in last["branches"]
    ]
    return [*sentences, recall_sentence(last)]


def _branch_view(
    name: str,
    epochs: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, str]],
    class_names: Sequence[str],
) -> BranchView:
    branches = {f"epoch {epoch['epoch']}": epoch["branches"][name] for epoch in epochs}
    last = epochs[-1]
    branch = last["branches"][name]
    strides = [f"stride {stride}" for stride in last["strides"]]
    return BranchView(
        name=name,
        charts=[
            _shares_over_epochs(name, rows),
            *_gradient_by_difficulty(branches),
            *_cumulative_loss(branches),
            _scores(branch, last),
        ],
        levels=_share_rows(strides, branch["by_level"]),
        classes=_share_rows(class_names, branch["by_class"]) if class_names else (),
    )


def _shares_over_epochs(name: str, rows: Sequence[Mapping[str, str]]) -> str:
    return line_chart(
        "Share of the gradient",
        [float(row["epoch"]) for row in rows],
        {
            label: [float(row[f"{name}_gradient_{group}"]) for row in rows]
            for group, label in GROUPS.items()
        },
        y_range=(0.0, 1.0),
    )


def _gradient_by_difficulty(branches: Mapping[str, Mapping[str, Any]]) -> list[str]:
    shares: dict[str, dict[str, list[float]]] = {side: {} for side in SIDES}
    for epoch, branch in branches.items():
        total = sum(sum(branch["by_difficulty"][side]["gradient"]) for side in SIDES) or 1.0
        for side in SIDES:
            gradient = branch["by_difficulty"][side]["gradient"]
            shares[side][epoch] = [value / total for value in gradient]
    highest = max(value for side in shares.values() for bars in side.values() for value in bars)
    return [
        bar_chart(
            f"Gradient of {side}",
            shares[side],
            x_label="|score - target|: easy to hard",
            highest=highest,
        )
        for side in SIDES
    ]


def _cumulative_loss(branches: Mapping[str, Mapping[str, Any]]) -> list[str]:
    charts = []
    for side in SIDES:
        curves = {epoch: branch["cumulative_loss"][side] for epoch, branch in branches.items()}
        known = {epoch: curve for epoch, curve in curves.items() if curve is not None}
        points = len(next(iter(known.values()), ()))
        charts.append(
            line_chart(
                f"Cumulative loss of {side}",
                [index / (points - 1) for index in range(points)],
                known,
                x_label=f"share of {side}, easiest first",
                y_range=(0.0, 1.0),
            )
        )
    return charts


def _scores(branch: Mapping[str, Any], last: Mapping[str, Any]) -> str:
    images = max(1, last["images"])
    return bar_chart(
        f"Scores per image, epoch {last['epoch']} (log)",
        {side: [count / images for count in branch["scores"][side]] for side in SIDES},
        x_label="score",
        is_log=True,
    )


def _share_rows(
    names: Sequence[str], groups: Sequence[Mapping[str, Any]]
) -> list[tuple[str, list[float]]]:
    """Return for each name its shares of the loss and of the gradient of all names together."""
    totals = {
        what: sum(row[group][what] for row in groups for group in GROUPS) or 1.0
        for what in ("loss", "gradient")
    }
    return [
        (name, [row[group][what] / total for what, total in totals.items() for group in GROUPS])
        for name, row in zip(names, groups, strict=True)
    ]


def _matches_by_anchor(last: Mapping[str, Any]) -> list[tuple[str, list[float]]]:
    images = max(1, last["images"])
    rows = []
    for stride, anchors in zip(last["strides"], last["matches"], strict=True):
        per_anchor = [sum(classes) / images for classes in anchors]
        rows.append((f"stride {stride}", [*per_anchor, sum(per_anchor)]))
    return rows


def _objects(
    last: Mapping[str, Any], class_names: Sequence[str]
) -> list[tuple[str, int, int, float]]:
    images = max(1, last["images"])
    matches = [
        sum(anchor[label] for level in last["matches"] for anchor in level) / images
        for label in range(len(class_names))
    ]
    targets, matched = last["targets"], last["matched_targets"]
    return [
        (name, int(targets[label]), int(matched[label]), matches[label])
        for label, name in enumerate(class_names)
    ]
