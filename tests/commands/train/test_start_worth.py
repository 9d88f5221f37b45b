"""What a start is worth: when it is evaluated, and what the report says of it."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from commands.build.training_start import TrainingStart
from commands.train.report import lost_by_training, start_facts
from models.weights.transfer import transfer
from tests.models.factories import tiny_detector
from utils.engine.optimization.layer_rules import LayerRules


def start(theirs: list[str] | None, ours: list[str], *, head: bool = True) -> TrainingStart:
    source, target = tiny_detector(len(theirs or ours), seed=1), tiny_detector(len(ours), seed=2)
    offered = {
        name: value
        for name, value in source.state_dict().items()
        if head or not name.startswith("model.4.")
    }
    report = transfer(target, offered, class_names=ours, offered_names=theirs)
    loaded: Any = None
    return TrainingStart(loaded=loaded, detector=target, rules=LayerRules(), transfer=report)


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [
        (["cat", "dog"], ["dog", "eel", "owl"], True),
        (["cat", "dog"], ["Dog", "cat"], True),
        (["cat", "dog"], ["cat", "dog"], True),
        (None, ["cat", "dog"], True),  # they name none, and as many fit
        (["cat", "dog"], ["eel", "owl"], False),
        (["cat", "dog"], ["eel"], False),
    ],
)
def test_a_start_shares_classes(theirs: list[str] | None, ours: list[str], expected: bool) -> None:
    assert start(theirs, ours).shares_classes is expected


def test_a_backbone_and_a_run_from_scratch_share_none() -> None:
    assert not start(["cat"], ["cat"], head=False).shares_classes
    loaded: Any = None
    scratch = TrainingStart(
        loaded=loaded, detector=tiny_detector(1), rules=LayerRules(), transfer=None
    )
    assert not scratch.shares_classes


def test_the_report_says_what_the_start_was_worth(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    epochs: list[dict[str, float | None]] = [{"epoch": 1.0, "map50_95": 0.4}]
    first: dict[str, float | None] = {"epoch": 0.0, "map50_95": 0.3}
    best: Any = SimpleNamespace(map50_95=0.4)
    assert start_facts(epochs) == {}
    assert start_facts([first, *epochs]) == {"before training": "AP 0.300"}
    assert lost_by_training(best, [first, *epochs]) == lost_by_training(None, [first]) == []
    assert caplog.text == ""
    notes = lost_by_training(best, [{**first, "map50_95": 0.5}, *epochs])
    assert "No epoch is better than the start: AP 0.500 before training, 0.400" in notes[0]
    assert "No epoch is better" in caplog.text
