"""The reference numbers that travel with the repository: small, plain, of stated origin."""

import fnmatch
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import GOLDEN
from tests.models.losses import test_elementwise_golden
from tests.models.losses.criterion import test_detection_golden

FILES = sorted(path for path in GOLDEN.rglob("*") if path.is_file() and path.suffix != ".md")
MAX_BYTES = 200_000


def stated_patterns() -> list[str]:
    """Return the file names in ORIGIN.md as glob patterns, braces spelled out."""
    quoted = re.findall(r"`([\w.*{},]+\.(?:npz|json|tsv))`", (GOLDEN / "ORIGIN.md").read_text())
    return [re.sub(r"\{([\w,]+)\}", r"[\1]", name) for name in quoted]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_is_small_plain_and_of_stated_origin(path: Path) -> None:
    assert path.stat().st_size < MAX_BYTES
    assert any(fnmatch.fnmatch(path.name, pattern) for pattern in stated_patterns())
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype.kind in "biufU" for name in arrays.files)
    elif path.suffix == ".json":
        json.loads(path.read_text())


def test_every_stated_file_is_here() -> None:
    names = [path.name for path in FILES]
    missing = [p for p in stated_patterns() if not fnmatch.filter(names, p)]
    assert missing == []


def test_loss_tests_of_a_clone_have_their_cases() -> None:
    """Without the shared folder too, the parity tests run on something."""
    assert {path for path in test_detection_golden.CASES if path.parent == GOLDEN} == {
        GOLDEN / f"{name}.npz"
        for name in (
            "bce",
            "focal_gamma1.5",
            "focal_posweight",
            "label_smoothing",
            "no_targets",
            "p6_four_levels",
            "single_class",
        )
    }
    assert {case[0] for case in test_elementwise_golden.CASES} >= {GOLDEN / "elementwise.npz"}
