from collections.abc import Callable

from configs.reading.load import LoadedExperiment

Faults = Callable[..., list[str]]
Load = Callable[..., LoadedExperiment]


def test_threads_that_change_contradict_exact_repetition(faults: Faults) -> None:
    found = faults("train: {threads: adaptive}")
    assert len(found) == 1
    assert found[0].startswith("train.threads")
    assert "set train.deterministic=false" in found[0]


def test_threads_may_change_where_nothing_exact_is_promised(load: Load) -> None:
    loaded = load("train: {threads: adaptive, deterministic: false}")
    assert loaded.experiment.train.threads == "adaptive"


def test_a_number_chosen_once_contradicts_nothing(load: Load) -> None:
    assert load("train: {threads: auto}").experiment.train.threads == "auto"
    assert load("train: {epochs: 3}").experiment.train.threads == "auto"
