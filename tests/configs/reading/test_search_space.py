"""Search spaces of a design: what may be tried, and what is refused with key and place."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.reading.design import load_design
from configs.schema.tuning import Choices, ListedTrials, Range, SearchedTrials
from tests.configs.conftest import Write

DESIGN = """\
experiment: experiment.yaml
arms:
  bce: {}
  focal: {loss.objectness: {name: focal, gamma: 1.5, alpha: null}}
baseline: bce
seeds: [0, 1]
tuning:
  trials: 6
  seeds: [9]
  space:
    all: {loss.objectness.gain: {low: 0.5, high: 2.0, log: true}}
    focal: {loss.objectness.gamma: {choices: [0.5, 1.0, 1.5]}}
"""
GAIN = "{low: 0.5, high: 2.0, log: true}"
OF_GAIN = "tuning.space.all.loss.objectness.gain"
OF_GAMMA = "tuning.space.focal.loss.objectness.gamma"
ALL = f"    all: {{loss.objectness.gain: {GAIN}}}\n"


@pytest.fixture
def design(write: Write) -> Callable[..., Path]:
    def _design(text: str = DESIGN) -> Path:
        write("experiment.yaml", "data: data.yaml\nmodel: {graph: graph.yaml}\n")
        return write("design.yaml", text)

    return _design


def search_of(path: Path, *overrides: str) -> SearchedTrials:
    tuning = load_design(path, overrides).settings.tuning
    assert isinstance(tuning, SearchedTrials)
    return tuning


def test_a_number_of_trials_with_a_space_is_a_search(design: Callable[..., Path]) -> None:
    tuning = search_of(design())
    assert (tuning.trials, tuning.sampler, tuning.seeds) == (6, "random", (9,))
    gain = Range(low=0.5, high=2.0, log=True)
    assert tuning.space_of("bce") == {"loss.objectness.gain": gain}
    gamma = Choices(choices=(0.5, 1.0, 1.5))
    assert tuning.space_of("focal") == {
        "loss.objectness.gain": gain,
        "loss.objectness.gamma": gamma,
    }
    assert (tuning.num_settings("bce"), gamma.num_values) == (math.inf, 3)
    listed = "tuning: {seeds: [9], trials: {bce: [{}], focal: [{}]}}\n"
    loaded = load_design(design(DESIGN[: DESIGN.index("tuning:")] + listed))
    assert isinstance(loaded.settings.tuning, ListedTrials)


def test_a_key_of_the_arm_goes_before_one_of_all(design: Callable[..., Path]) -> None:
    own = "focal: {loss.objectness.gain: {choices: [1, 2, 3]}, loss."
    tuning = search_of(design(DESIGN.replace("focal: {loss.objectness.gamma", own + "box.gain")))
    assert tuning.space_of("focal")["loss.objectness.gain"] == Choices(choices=(1, 2, 3))
    assert list(tuning.space_of("focal")) == ["loss.objectness.gain", "loss.box.gain"]


def test_nested_keys_and_the_command_line_mean_the_same(design: Callable[..., Path]) -> None:
    nested = DESIGN.replace(
        "loss.objectness.gain: " + GAIN, f"loss: {{objectness: {{gain: {GAIN}}}}}"
    )
    assert search_of(design(nested)) == search_of(design())
    changed = search_of(design(), "tuning.sampler=tpe", "tuning.space.bce.loss.box.gain.low=0.1",
                        "tuning.space.bce.loss.box.gain.high=0.2")  # fmt: skip
    assert changed.sampler == "tpe"
    assert changed.space_of("bce")["loss.box.gain"] == Range(low=0.1, high=0.2)


def test_what_is_searched_names_the_comparison(design: Callable[..., Path]) -> None:
    first = load_design(design())
    assert load_design(design(), ["tuning.sampler=random", "jobs=3"]).hash == first.hash
    for other in ("tuning.trials=7", "tuning.sampler=tpe", "tuning.search_seed=1"):
        assert load_design(design(), [other]).hash != first.hash


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ("objectness.gamma", "objectness.gama"),
            "tuning.space, arm focal (design.yaml:12): unknown key 'loss.objectness.gama'; did you "
            "mean 'loss.objectness.gamma'?",
        ),
        (
            ("    focal: {loss.objectness.gamma", "    bce: {loss.objectness.gamma"),
            "tuning.space, arm bce (design.yaml:12): loss.objectness.gamma has no effect",
        ),
        (
            ("choices: [0.5, 1.0, 1.5]", "choices: [0.5, 1.0, -1]"),
            "tuning.space, arm focal (design.yaml:12): loss.objectness.gamma is -1; must be",
        ),
        (
            ("choices: [0.5, 1.0, 1.5]", "low: 0.5, high: 11"),
            "tuning.space, arm focal (design.yaml:12): loss.objectness.gamma is 11.0; must be",
        ),
        (
            ("loss.objectness.gain: " + GAIN, "train.batch_size: {low: 2, high: 8}"),
            "tuning.space, arm bce (design.yaml:11): train.batch_size is 2.0; must be a whole",
        ),
        (
            ("all: {", "all: {train.seed: {low: 1, high: 3}, "),
            "tuning.space, arm bce (design.yaml:11) searches train.seed, which has to be the same",
        ),
        (
            ("all: {", "all: {data.max_rejected: {low: 0, high: 1}, "),
            "tuning.space, arm bce (design.yaml:11) searches data.max_rejected, which has to be",
        ),
        (
            ("all: {", "all: {train.epochs: {low: 1, high: 3, step: 1}, "),
            "tuning.space, arm bce (design.yaml:11) searches train.epochs, which trials have from",
        ),
        (
            ("loss.objectness.gamma: {", "loss.objectness: {"),
            "tuning.space, arm focal (design.yaml:12) searches loss.objectness and "
            "loss.objectness.gain, a part of it",
        ),
        (("    focal:", "    vocal:"), "tuning.space: 'vocal' is none of all, bce, focal"),
        (("  focal: {loss.objectness: {n", "  all: {loss.objectness: {n"), "tuning.space: 'focal'"),
        ((ALL, ""), "tuning.space: nothing is searched for arm bce; effort must be equal"),
        (
            (ALL, "    bce: {loss.objectness.gain: {choices: [1, 2]}}\n"),
            "tuning.space: arm bce has only 2 different settings for 6 trials",
        ),
        (
            (GAIN, "{low: 1, high: 2, step: 0.3}"),
            "tuning.space: arm bce has only 4 different settings for 6 trials",
        ),
        (("low: 0.5", "low: 2"), f"{OF_GAIN} (design.yaml:11): low must be below high"),
        (("low: 0.5", "low: 0"), f"{OF_GAIN} (design.yaml:11): log needs low above 0"),
        (("log: true", "log: true, step: 1"), f"{OF_GAIN} (design.yaml:11): log and step"),
        (("log: true", "step: 9"), f"{OF_GAIN} (design.yaml:11): step 9 is longer"),
        (("high: 2.0", "hihg: 2.0"), f"{OF_GAIN}.high (design.yaml:11): field"),
        ((GAIN, "1.5"), f"{OF_GAIN} (design.yaml:11): input should be"),
        (("0.5, 1.0, 1.5", "0.5, 0.5"), f"{OF_GAMMA}.choices (design.yaml:12): 0.5 is listed"),
        (("0.5, 1.0, 1.5", "0.5"), f"{OF_GAMMA}.choices (design.yaml:12): tuple should"),
        (("trials: 6", "trials: {bce: [], focal: []}"), "tuning.trials (design.yaml:8): input"),
        (("trials: 6", "trials: 1"), "tuning.trials (design.yaml:8): input should be greater"),
        (("trials: 6", "sampler: quasi\n  trials: 6"), "tuning.sampler (design.yaml:8): input"),
        (("seeds: [9]", "seeds: [1]"), "tuning.seeds: must not be among seeds"),
        (("  seeds: [9]", "  sead: [9]"), "unknown key 'tuning.sead' (design.yaml:9)"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_key_and_place(
    design: Callable[..., Path], change: tuple[str, str], said: str
) -> None:
    assert change[0] in DESIGN
    with pytest.raises(ConfigError) as caught:
        load_design(design(DESIGN.replace(*change)))
    assert str(caught.value).startswith(said)


def test_lists_take_no_keys_of_a_search(design: Callable[..., Path]) -> None:
    listed = "tuning: {seeds: [9], epoch_share: 1, trials: {bce: [{}], focal: [{}]}}\n"
    text = DESIGN[: DESIGN.index("tuning:")] + listed
    with pytest.raises(ConfigError, match=r"unknown key 'tuning\.epoch_share' \(design\.yaml:7\)"):
        load_design(design(text))
    with pytest.raises(ConfigError, match=r"tuning\.trials .*valid integer"):
        load_design(design(text.replace("epoch_share: 1", "sampler: tpe")))


@pytest.mark.parametrize(
    ("values", "last", "count", "tried"),
    [
        (Range(low=0.5, high=2.0), 2.0, math.inf, {0.734567: 0.7346, 1.99999: 2.0}),
        (Range(low=0.12347, high=2.0), 2.0, math.inf, {0.123471: 0.1235, 0.12347: 0.1235}),
        (Range(low=0.12343, high=2.0), 2.0, math.inf, {0.123431: 0.12343}),
        (Range(low=1, high=8, step=2), 7.0, 4, {5.0: 5}),
        (Range(low=0, high=1, step=0.1), 1.0, 11, {0.1 + 0.2: 0.3, 0.7000000000000001: 0.7}),
    ],
)
def test_numbers_of_a_range_are_readable_and_inside(
    values: Range, last: float, count: float, tried: dict[float, float]
) -> None:
    assert (values.last, values.num_values) == (last, count)
    assert values.probes[0] == values.value(values.low)
    assert values.probes[-1] == last
    for drawn, expected in tried.items():
        assert values.value(drawn) == expected
        assert values.value(expected) == expected
        assert type(values.value(drawn)) is type(expected)
