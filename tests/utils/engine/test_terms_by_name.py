"""One more term in a criterion appears everywhere without another change."""

import csv
import logging
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.utils.engine.test_resume import KilledError, dies_before, outcome
from tests.utils.engine.toy import (
    CPU,
    ToyModel,
    eval_result,
    toy_batch,
    toy_criterion,
    toy_settings,
    toy_trainer,
)
from utils.checkpoint.state import load_state
from utils.comparison.summary.budget_course import course
from utils.engine.diagnosis import bad_terms
from utils.engine.hooks.console import batch_text
from utils.engine.learner import Learner, joined
from utils.engine.loss_log import NotFiniteError
from utils.report.comparison.course import course_charts
from utils.report.pages.run_page import course_charts as run_charts
from utils.report.pages.run_page import read_history
from utils.structures.batch import Targets
from utils.structures.loss_terms import LossTerms
from utils.structures.metrics_columns import joined_columns, term_columns, validation_columns

NAMES = ("box", "objectness", "classification", "distribution")


def criterion_with_more(predictions: Tensor, targets: Targets) -> LossTerms:
    """The toy criterion and a term of its own, larger than any other."""
    terms = toy_criterion(predictions, targets)
    more = {**dict(terms.items()), "distribution": 7 + predictions.float().square().mean()}
    return LossTerms.of(more, num_foreground=terms.num_foreground, batch_size=terms.batch_size)


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def trained(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Path:
    with caplog.at_level(logging.INFO):
        toy_trainer(tmp_path, criterion=criterion_with_more).run()
    return tmp_path


def test_metrics_and_console_have_it(trained: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = rows(trained)
    assert term_columns(table[0]) == NAMES
    assert list(table[0])[2:8] == ["lr", *NAMES, "foreground"]
    assert all(7 < float(row["distribution"]) < 9 for row in table)
    _, *epochs = caplog.get_records("setup")  # the first line estimates the length of the run
    for row, record in zip(table, epochs, strict=True):
        assert f"  distribution {float(row['distribution']):.4f}  lr " in record.getMessage()
    assert batch_text({"box": 1.0, "distribution": 7.5, "foreground": 3.0}, lr=0.1, speed=5) == (
        "box 1.0000 distribution 7.5000 lr 0.1 5 img/s"
    )


def test_reports_and_comparisons_have_it(trained: Path) -> None:
    history = read_history(trained / "metrics.csv")
    losses = next(chart for chart in run_charts(history) if "Training loss" in chart)
    assert all(name in losses for name in NAMES)
    run: Any = SimpleNamespace(history=history, budget_rows=())
    shown = course([run, run])
    assert tuple(shown["terms"]) == NAMES
    for shares in zip(*shown["terms"].values(), strict=True):
        assert sum(shares) == pytest.approx(1.0, abs=2e-4)
        assert shares[-1] > 0.5
    without = {**shown, "terms": {name: shown["terms"][name] for name in NAMES[:3]}}
    arms: Any = {
        name: {"plots": {"course": one}, "verdict": "baseline"}
        for name, one in (("a", without), ("b", shown))
    }
    charts = course_charts(arms)
    assert [name for name in NAMES if any(f"of the {name} term" in one for one in charts)] == [
        *NAMES
    ]


def test_the_optimizer_feels_it() -> None:
    def gradient(criterion: Any) -> Tensor:
        learner = Learner(ToyModel(), criterion, toy_settings(), batches_per_epoch=9, device=CPU)
        learner.compute(toy_batch(0), 0).total.backward()
        weight = learner.model.get_parameter("head.weight").grad
        assert weight is not None
        return weight

    assert not torch.equal(gradient(toy_criterion), gradient(criterion_with_more))


def test_parts_of_a_batch_and_processes_join_it() -> None:
    def terms(value: float, size: int) -> LossTerms:
        return LossTerms.of(
            {name: torch.tensor(value + place) for place, name in enumerate(NAMES)},
            num_foreground=torch.tensor(size),
            batch_size=size,
        )

    whole = joined([terms(1.0, 1), terms(5.0, 3)])
    assert whole.names == NAMES
    assert [value.item() for value in whole.values] == [4.0, 5.0, 6.0, 7.0]
    assert whole.total.item() == 22.0 * 4
    learner = Learner(ToyModel(), toy_criterion, toy_settings(), batches_per_epoch=9, device=CPU)
    learner.ranks = SimpleNamespace(size=2, sum=lambda own: own + 1)  # type: ignore[assignment]
    joint = learner._joint(terms(1.0, 3))
    assert (joint.names, joint.batch_size, joint.num_foreground.item()) == (NAMES, 6, 4.0)
    assert [value.item() for value in joint.values] == [1.0, 1.5, 2.0, 2.5]


def test_it_is_named_where_it_is_not_finite(tmp_path: Path) -> None:
    def poisoned(predictions: Tensor, targets: Targets) -> LossTerms:
        terms = criterion_with_more(predictions, targets)
        return LossTerms.of(
            {**dict(terms.items()), "distribution": terms["distribution"] * math.nan},
            num_foreground=terms.num_foreground,
            batch_size=terms.batch_size,
        )

    with pytest.raises(NotFiniteError, match=r"distribution=nan.*the loss term distribution"):
        toy_trainer(tmp_path, criterion=poisoned).run()
    batch = toy_batch(0)
    assert bad_terms(poisoned(ToyModel()(batch.pixels()), batch.targets)) == ["distribution"]


@pytest.mark.slow
def test_killed_and_resumed_it_is_the_same(tmp_path: Path) -> None:
    whole = toy_trainer(tmp_path / "whole", criterion=criterion_with_more)
    whole.run()
    path = tmp_path / "killed"
    parts = {"criterion": criterion_with_more, "checkpoint_minutes": 1e-9}
    with pytest.raises(KilledError):
        toy_trainer(path, batches=dies_before((1, 3)), **parts).run()
    resumed = toy_trainer(path, seed=7, **parts)
    resumed.resume()
    resumed.run()
    assert outcome(path, resumed) == outcome(tmp_path / "whole", whole)


def test_a_term_that_comes_with_a_resume_is_empty_before(tmp_path: Path) -> None:
    toy_trainer(tmp_path, epochs=1).run()
    trainer = toy_trainer(tmp_path, epochs=2, criterion=criterion_with_more)
    trainer.resume()
    trainer.run()
    table = rows(tmp_path)
    assert term_columns(table[0]) == NAMES
    assert table[0]["distribution"] == ""
    assert float(table[1]["distribution"]) > 7
    run: Any = SimpleNamespace(history=read_history(tmp_path / "metrics.csv"), budget_rows=())
    assert tuple(course([run])["terms"]) == NAMES[:3]


def test_columns_of_different_rows_keep_their_order() -> None:
    old, new = ("epoch", "box", "seconds"), ("epoch", "box", "more", "seconds", "new")
    assert joined_columns([old, new, old]) == new
    assert joined_columns([new, old]) == new
    assert joined_columns([("b", "c"), ("a", "b")]) == ("a", "b", "c")
    assert joined_columns([]) == ()


def test_columns_of_earlier_runs_are_read() -> None:
    old = (
        "epoch,step,lr,box,objectness,classification,foreground,images_per_second,seconds,map50_95"
    )
    assert term_columns(old.split(",")) == NAMES[:3]
    assert term_columns(()) == ()


def test_terms_on_validation_images_are_columns_of_their_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    losses = [{"box": 0.5, "l1": 0.25}, {"box": math.nan, "l1": 0.5}]
    evaluated = iter([replace(eval_result(0.1), losses=own) for own in losses])
    with caplog.at_level(logging.INFO):
        toy_trainer(tmp_path, epochs=2, evaluate=lambda model: next(evaluated)).run()
    first, second = rows(tmp_path)
    assert term_columns(first) == NAMES[:3]
    assert validation_columns(first) == ("val_box", "val_l1")
    assert list(first).index("val_l1") == list(first).index("map50_95") - 1
    assert (first["val_box"], first["val_l1"]) == ("0.5", "0.25")
    assert (second["val_box"], second["val_l1"]) == ("", "0.5")  # not a number
    said = [text for text in caplog.messages if "mAP50-95" in text]
    assert "  val loss 0.7500  mAP50-95 0.1000" in said[0]
    assert "val loss" not in said[1]
    state = load_state(tmp_path / "last")
    assert "losses" not in state["best"]["result"]
