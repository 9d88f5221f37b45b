"""A setting that nobody reads is a promise not kept: every field must be read by the program."""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest

from configs.schema.keys import ROOT, Group, group_of

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("commands", "data", "models", "utils")
READ_BY_CONFIGS = {"model.graph", "train.ema.horizon"}
"""The loader reads the graph's file itself; configs/reading/derive.py reads the horizon."""


def leaf_fields(group: Group, prefix: str = "") -> set[tuple[str, str]]:
    """Return (dotted key, field name) of every field that holds a value, over all variants."""
    found = set()
    for model in group.variants:
        for name, info in model.model_fields.items():
            below = group_of(info)
            if get_origin(info.annotation) is Literal and len(get_args(info.annotation)) == 1:
                continue  # it picks the variant, whose type says the same
            if below is None:
                found.add((prefix + name, name))
            else:
                found |= leaf_fields(below, f"{prefix}{name}.")
    return found


def names_read(source: str) -> set[str]:
    """Return attributes that a module reads, of settings if it knows the settings at all."""
    tree = ast.parse(source)
    knows_settings = any(
        isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "configs"
        for node in ast.walk(tree)
    )
    if not knows_settings:
        return set()
    nodes = list(ast.walk(tree))
    read = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    if any(isinstance(node, ast.Name) and node.id == "getattr" for node in nodes):
        read |= {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
    return read


def program_sources() -> Iterable[str]:
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            yield path.read_text(encoding="utf-8")
    for path in REPOSITORY.glob("*.py"):
        yield path.read_text(encoding="utf-8")


def unread(sources: Iterable[str], group: Group = ROOT) -> list[str]:
    read = set().union(*map(names_read, sources))
    fields = leaf_fields(group)
    return sorted(k for k, name in fields if name not in read and k not in READ_BY_CONFIGS)


@pytest.mark.slow
def test_every_field_is_read() -> None:
    assert unread(program_sources()) == []


def test_an_unread_field_is_noticed() -> None:
    source = "from configs.schema.train import EmaSettings\ndef f(ema): return ema.decay"
    ema = ROOT.child("train").child("ema")
    assert unread([source], ema) == ["horizon", "ramp_steps"]
    assert unread([source.replace("from configs", "from elsewhere")], ema) == [
        "decay",
        "horizon",
        "ramp_steps",
    ]
    written = source + "\ndef g(ema): ema.ramp_steps = 3"
    assert unread([written], ema) == ["horizon", "ramp_steps"]
