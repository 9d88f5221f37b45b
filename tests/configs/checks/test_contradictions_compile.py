from collections.abc import Callable

import pytest

from configs.reading.load import LoadedExperiment

Faults = Callable[..., list[str]]
Load = Callable[..., LoadedExperiment]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("compile: network, multi_scale: 0.5", "set train.multi_scale=0 or train.compile=off"),
        ("compile: network, oom: halve", "set train.oom=stop or train.compile=off"),
        ("compile: network, threads: adaptive, deterministic: false", "set auto, a number or"),
        ("compile: graphs, batch_size: 16, nominal_batch: 64", "takes 4 batches"),
    ],
)
def test_what_does_not_go_with_compiling_is_one_line(
    settings: str, problem: str, faults: Faults
) -> None:
    found = faults(f"train: {{{settings}}}")
    assert len(found) == 1
    assert found[0].startswith("train.compile (experiment.yaml")
    assert problem in found[0]


@pytest.mark.parametrize(
    "settings",
    [
        "compile: off, multi_scale: 0.5, oom: halve",
        "compile: network, nominal_batch: 64",
        "compile: graphs, batch_size: 16, nominal_batch: 16",
        "compile: graphs, batch_size: 16, nominal_batch: 8",
    ],
)
def test_what_goes_together_is_taken(settings: str, load: Load) -> None:
    loaded = load(f"train: {{{settings}}}")
    assert f"compile: {loaded.experiment.train.compile}" in settings
