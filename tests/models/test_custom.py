"""Blocks and heads of a user's own in the tables that graphs are read by."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from configs.errors import ConfigError
from configs.heads import HEAD_TRAITS, HeadTraits
from models.blocks import BLOCKS
from models.custom import add_to_tables, own_names
from models.detector import build_detector
from models.heads import HEADS, Detect
from tests.models.factories import tiny_graph


class Halved(nn.Module):
    """As many channels out as in."""

    channels = "same"

    def forward(self, x: Tensor) -> Tensor:
        return x / 2


class Row(nn.Module):
    has_repeats = True

    def __init__(self, in_channels: int, out_channels: int, repeats: int) -> None:
        super().__init__()
        self.repeats = repeats
        self.conv = nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mapped: Tensor = self.conv(x)
        return mapped


class Own(Detect):
    traits = HEAD_TRAITS["Detect"]


@pytest.fixture(autouse=True)
def _tables() -> Iterator[None]:
    kept = [(table, dict(table)) for table in (BLOCKS, HEADS, HEAD_TRAITS)]
    yield
    for table, before in kept:
        table.clear()  # type: ignore[attr-defined]
        table.update(before)  # type: ignore[attr-defined]


def graph(**changes: Any) -> dict[str, Any]:
    stated = tiny_graph(**changes)
    stated["backbone"] = [*stated["backbone"], [-1, 2, "mine.Row", [16]], [-1, 1, "a.b.Halved", []]]
    _, repeats, _, arguments = stated["head"][-1]
    rows = len(stated["backbone"])
    stated["head"] = [[[rows - 1], repeats, "mine.Own", arguments]]
    stated["anchors"] = [stated["anchors"][0]]
    return stated


def test_a_graph_is_built_of_them() -> None:
    stated = graph()
    assert list(own_names(stated)) == ["mine.Row", "a.b.Halved", "mine.Own"]
    for name, kind in (("mine.Row", Row), ("a.b.Halved", Halved), ("mine.Own", Own)):
        add_to_tables(name, kind)
    assert list(own_names(stated)) == []
    detector = build_detector(stated, num_classes=3)
    row = detector.model[-3]
    assert isinstance(row, Row)
    assert row.repeats == 2
    assert isinstance(detector.head, Own)
    assert detector(torch.rand(1, 3, 64, 64)).has_objectness


def test_unknown_ones_are_refused_and_say_how_they_come_in() -> None:
    with pytest.raises(ConfigError, match=r"\(mine\.Row\): unknown block; .*--trust"):
        build_detector(graph(), num_classes=3)
    stated = graph()
    stated["backbone"][-2][2] = "Rowe"
    with pytest.raises(ConfigError, match="unknown block") as caught:
        build_detector(stated, num_classes=3)
    assert "--trust" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (print, "is no block or head"),
        (dict, "is no block or head"),
        (type("Odd", (nn.Module,), {"channels": "many"}), r"channels is 'many'; must be one of"),
        (type("Headless", (Detect,), {}), "needs traits = HeadTraits"),
    ],
)
def test_what_is_neither(kind: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        add_to_tables("mine.X", kind)
    assert "mine.X" not in {**BLOCKS, **HEADS}


@pytest.mark.parametrize("damaged", [{}, {"head": 3}, {"backbone": [3, [1], [-1, 1, 2, []]]}])
def test_a_damaged_graph_names_nothing(damaged: dict[str, Any]) -> None:
    assert list(own_names(damaged)) == []


def test_a_head_that_is_known_late_is_checked_against_the_loss(tmp_path: Any) -> None:
    from dataclasses import replace

    from commands.build.plugins import import_network_parts
    from configs.reading.load import load_experiment

    loaded = load_experiment("quickstart.yaml")
    late = replace(loaded, graph={**graph(), "backbone": []})
    late.graph["head"][-1][2] = f"{__name__}.Bare"  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"loss\.objectness must be null"):
        import_network_parts(late)


class Bare(Detect):
    traits = HeadTraits(has_objectness=False, has_anchors=True)
