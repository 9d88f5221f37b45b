"""Weights from names alone: one rule gives the same tensors wherever names and shapes are known.

So forward passes of other programs can be compared without a file of theirs.
"""

import json
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.models.modern_golden import golden_files, load

SIZES = {
    "yolox": ("nano", "tiny", "s", "m", "l", "x"),
    "rtmdet": ("tiny", "s", "m", "l", "x"),
    "yolov9": ("t", "s", "m", "c"),
}
SMALL = frozenset({"preds", "rtm_reg", "rtm_cls"})
"""Parts of names of convolutions that predict: exp() of what they give has to stay finite."""


def layout(project: str, size: str) -> Mapping[str, Any]:
    """Return names, shapes and counts as the project has them."""
    files = golden_files(f"{project}_layouts.json")
    if not files:
        pytest.skip(f"no {project}_layouts.json; set FOCALDET_SHARED")
    found: Mapping[str, Any] = json.loads(files[0].read_text())[size]
    return found


def golden(name: str) -> Mapping[str, Any]:
    """Return the arrays of a golden file."""
    files = golden_files(name)
    if not files:
        pytest.skip(f"no {name}; set FOCALDET_SHARED")
    return load(files[0])


def blank_state(project: str, size: str) -> dict[str, Tensor]:
    """Return zeros of the layout that take no memory."""
    return {
        name: torch.zeros((), dtype=_kind(name)).expand(shape)
        for name, shape in layout(project, size)["entries"].items()
    }


def filled_state(project: str, size: str) -> dict[str, Tensor]:
    """Return the layout with values of the rule, under the names that the golden files used."""
    alias = ALIASES.get(project, str)
    return {
        name: torch.zeros(shape, dtype=torch.int64)
        if name.endswith("num_batches_tracked")
        else torch.from_numpy(fill(alias(name), shape).copy())
        for name, shape in layout(project, size)["entries"].items()
    }


def fill(name: str, shape: Sequence[int]) -> Any:
    """Return the value of an entry."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    draw = rng.standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return (0.5 + rng.random(shape)).astype(np.float32)
    if name.endswith("running_mean"):
        return np.float32(0.1) * draw
    if len(shape) == 4:
        gain = 0.1 if any(part in name for part in SMALL) else 1.2
        return draw * np.float32(np.sqrt(gain / (shape[1] * shape[2] * shape[3])))
    if name.endswith("weight"):
        return (0.5 + rng.random(shape)).astype(np.float32)
    return np.float32(0.1) * draw


def _kind(name: str) -> torch.dtype:
    return torch.int64 if name.endswith("num_batches_tracked") else torch.float32


def _first_of_shared(name: str) -> str:
    return re.sub(r"(cls_convs|reg_convs)\.\d+\.(\d+)\.conv", r"\1.0.\2.conv", name)


def _marked(name: str) -> str:
    is_last = re.search(r"(anchor_conv|class_conv)\.2\.(weight|bias)$", name)
    return f"preds.{name}" if is_last else name


ALIASES: Mapping[str, Callable[[str], str]] = {"rtmdet": _first_of_shared, "yolov9": _marked}
"""Names whose values an entry has, where they are not its own."""
