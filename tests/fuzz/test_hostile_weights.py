"""300 weights of hostile meaning: nothing of them runs, nothing crashes, little time and memory."""

import random
from pathlib import Path

import pytest

from tests.fuzz.weights_jail import load_each

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SEEDS = 75
"""Of each maker."""
MOST_S, MOST_MIB = 2.0, 512
"""Processor time and memory beyond what Python, torch and this program take by themselves."""


@pytest.mark.parametrize("ending", [".pt", ".safetensors", ".header.safetensors", ".onnx"])
def test_hostile_weights_cost_one_line(ending: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    makers = pytest.importorskip("tests.fuzz.hostile_weights").MAKERS
    paths = []
    for seed in range(SEEDS):
        paths.append(tmp_path / f"{seed}{ending}")
        paths[-1].write_bytes(makers[ending](random.Random(seed)))
    results = list(load_each(paths))
    for result in results:
        assert not result.deeds, (result.path.name, result.deeds)
        assert len(result.told) < 3000, result.path.name
        assert result.seconds < MOST_S, (result.path.name, result.seconds, result.told)
        assert result.mib < MOST_MIB, (result.path.name, result.mib, result.told)
    refused = [result.told for result in results if result.told]
    assert len(refused) > SEEDS // 3
    assert len({told.partition(": ")[2][:40] for told in refused}) > 4, "all fail alike"
