"""The section on the loss budget shows what budget.json and budget.csv hold, and says it."""

import csv
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from tests.utils.structures.test_budget import random_budget
from utils.engine.hooks.loss_budget import budget_row
from utils.report.pages.budget_section import BudgetSection, read_budget_section
from utils.report.pages.page_template import page_environment
from utils.report.tables.budget_text import branch_sentence, percent, recall_sentence
from utils.structures.budget import LossBudget

NAMES = ("disc", "ring & co", "box")
LOSSES = {"objectness": "bce", "classification": "focal"}


def write_files(path: Path, *budgets: LossBudget) -> tuple[Path, Path]:
    epochs = [{"epoch": number, **b.to_json()} for number, b in enumerate(budgets, start=1)]
    rows = [{"epoch": number, **budget_row(b)} for number, b in enumerate(budgets, start=1)]
    (path / "budget.json").write_text(json.dumps({"format_version": 1, "epochs": epochs}))
    with (path / "budget.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path / "budget.json", path / "budget.csv"


def section_of(path: Path, *budgets: LossBudget) -> BudgetSection:
    section = read_budget_section(*write_files(path, *budgets), NAMES, LOSSES)
    assert section is not None
    return section


def rendered(section: BudgetSection) -> str:
    environment = page_environment()
    environment.filters["percent"] = percent
    return environment.get_template("budget.html").render(budget=section)


def test_tables_hold_shares_of_the_last_epoch(tmp_path: Path) -> None:
    budgets = [random_budget(seed) for seed in (1, 2, 3)]
    section = section_of(tmp_path, *budgets)
    assert (section.epoch, section.batches) == (3, 1)
    objectness, classification = section.branches
    assert [name for name, _ in objectness.levels] == ["stride 8", "stride 16"]
    assert objectness.classes == ()
    assert [name for name, _ in classification.classes] == list(NAMES)
    last = budgets[-1].branches["classification"].groups()
    totals = last.sum((0, 1, 2))
    for number, (_, shares) in enumerate(classification.classes):
        expected = [
            *(last[:, :, number, 1].sum(1) / totals[1]).tolist(),
            *(last[:, :, number, 2].sum(1) / totals[2]).tolist(),
        ]
        assert shares == pytest.approx(expected)
    for rows in (objectness.levels, classification.levels, classification.classes):
        assert sum(value for _, shares in rows for value in shares) == pytest.approx(2)


def test_matches_and_objects_are_of_the_last_epoch(tmp_path: Path) -> None:
    budget = random_budget(4)
    section = section_of(tmp_path, random_budget(1), budget)
    for level, (name, values) in enumerate(section.matches):
        assert name == f"stride {budget.strides[level]}"
        per_anchor = (budget.matches[level].sum(1) / budget.images).tolist()
        assert values == pytest.approx([*per_anchor, sum(per_anchor)])
    for label, (name, targets, matched, matches) in enumerate(section.objects):
        assert name == NAMES[label]
        assert (targets, matched) == (budget.targets[label], budget.matched_targets[label])
        assert matches == pytest.approx(budget.matches[:, :, label].sum().item() / budget.images)


@pytest.mark.parametrize("num_epochs", [1, 2, 3])
def test_the_page_is_whole(num_epochs: int, tmp_path: Path) -> None:
    section = section_of(tmp_path, *(random_budget(seed) for seed in range(num_epochs)))
    page = rendered(section)
    ElementTree.fromstring(f"<div>{page.replace(' open>', '>')}</div>")
    assert "ring &amp; co" in page
    for branch in section.branches:
        assert len(branch.charts) == 6
        for chart in branch.charts:
            ElementTree.fromstring(chart)
    keys = re.findall(r'class="key series-\d">([^<]+)<', section.branches[0].charts[3])
    assert keys == [f"epoch {number}" for number in range(1, num_epochs + 1)]


def test_a_training_without_any_target_can_be_shown(tmp_path: Path) -> None:
    budget = random_budget(0)
    empty = LossBudget.from_state(
        {
            **budget.state(),
            "branches": {
                name: {field: torch.zeros_like(value) for field, value in branch.items()}
                for name, branch in budget.state()["branches"].items()
            },
            "matches": torch.zeros_like(budget.matches),
            "targets": torch.zeros(3),
            "matched_targets": torch.zeros(3),
        }
    )
    section = section_of(tmp_path, empty)
    assert "nothing was recorded" in rendered(section)
    assert section.sentences == [
        "Objectness: no positive was seen in the last epoch.",
        "Classification: no positive was seen in the last epoch.",
        "No target was seen in the measured batches.",
    ]


def test_a_run_without_budget_has_no_section(tmp_path: Path) -> None:
    found = read_budget_section(tmp_path / "budget.json", tmp_path / "budget.csv", NAMES, LOSSES)
    assert found is None


def branch_json(loss: float, gradient: float, positives: float = 0.3) -> dict[str, Any]:
    return {
        "totals": {"positives": {"count": 1}},
        "shares": {
            "positives": {"loss": 0.5, "gradient": positives},
            "easy_negatives": {"loss": loss, "gradient": gradient},
        },
    }


@pytest.mark.parametrize(
    ("shares", "loss", "said"),
    [
        ((0.04, 0.19), "bce", "4.0 % of the loss and 19 % of its gradient: focal loss is unlikely"),
        ((0.04, 0.31), "bce", "focal loss would move part of the weight"),
        ((0.6, 0.1), "bce", "outweigh everything else, the case focal loss was made for"),
        ((0.04, 0.1), "focal", "after focal they have little weight"),
        ((0.04, 0.3), "ghm", "even after ghm they keep part"),
        ((0.04, 0.51), "focal", "even after focal they outweigh"),
    ],
)
def test_the_larger_share_decides_what_is_said(
    shares: tuple[float, float], loss: str, said: str
) -> None:
    assert said in branch_sentence("objectness", loss, branch_json(*shares))


def test_the_first_epoch_is_named_where_it_is_another() -> None:
    sentence = branch_sentence("objectness", "bce", branch_json(0.1, 0.1), branch_json(0.7, 0.8))
    assert "(70 % and 80 % in the first epoch)" in sentence
    assert "first epoch" not in branch_sentence("objectness", "bce", branch_json(0.1, 0.1))


def test_negatives_that_teach_little_are_warned_of() -> None:
    warned = branch_sentence("objectness", "focal", branch_json(0.0, 0.01, positives=0.96))
    assert warned.endswith(
        "Positives hold 96 % of the gradient: hardly anything pushes scores down where they should "
        "be low."
    )
    calm = branch_sentence("objectness", "focal", branch_json(0.0, 0.01, positives=0.94))
    assert calm.endswith("they have little weight.")


def test_recall_is_said_in_numbers() -> None:
    def sentence(targets: list[float], matched: list[float]) -> str:
        return recall_sentence({"targets": targets, "matched_targets": matched})

    assert "best possible recall 100 %" in sentence([2, 3], [2, 3])
    assert "2 of 200 ground-truth boxes" in sentence([100, 100], [99, 99])
    assert "best possible recall 99 %" in sentence([100, 100], [99, 99])
    assert "100 %" not in sentence([100000], [99999])


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0004, "<0.1 %"), (0.04, "4.0 %"), (0.104, "10 %"), (0.314, "31 %"),
     (0.996, "99.6 %"), (0.9999, ">99.9 %"), (1, "100 %")],
)  # fmt: skip
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text
