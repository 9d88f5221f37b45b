import pytest

from configs.errors import ConfigError
from models.layer_patterns import frozen_names, learning_factors, select
from tests.models.factories import tiny_detector

BACKBONE = ("model.0.", "model.1.", "model.2.")


def chosen(pattern: str) -> frozenset[str]:
    return select(tiny_detector(), pattern, key="train.freeze")


def below(*prefixes: str) -> frozenset[str]:
    return frozenset(name for name in tiny_detector().state_dict() if name.startswith(prefixes))


@pytest.mark.parametrize(
    ("pattern", "prefixes"),
    [
        ("backbone", BACKBONE),
        ("neck", ("model.3.",)),
        ("head", ("model.4.",)),
        ("0-2", BACKBONE),
        ("model.0-2", BACKBONE),
        ("2", ("model.2.",)),
        ("model.2", ("model.2.",)),
        ("model.2.*", ("model.2.",)),
        ("model.[34].*", ("model.3.", "model.4.")),
        ("model.0.bn", ("model.0.bn.",)),
        ("model.4.m.1", ("model.4.m.1.",)),
    ],
)
def test_what_a_pattern_means(pattern: str, prefixes: tuple[str, ...]) -> None:
    assert chosen(pattern) == below(*prefixes) != frozenset()


def test_a_module_name_means_its_statistics_too_a_parameter_name_does_not() -> None:
    assert "model.0.bn.running_mean" in chosen("*.bn")
    assert chosen("model.0.bn.bias") == {"model.0.bn.bias"}


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("backbon", "did you mean 'backbone'"),
        ("model.0.bm", "did you mean 'model.0.bn'"),
        ("model.4.anchors", "did you mean 'model."),
        ("5", "rows run from 0 to 4"),
        ("model.7-9", "rows run from 0 to 4"),
        ("3-2", "rows run from 0 to 4"),
        ("", "did you mean"),
    ],
)
def test_a_pattern_that_means_nothing_names_the_nearest(pattern: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"train.freeze: '{pattern}' names no parameter") as error:
        chosen(pattern)
    assert words in str(error.value)


def test_freezing_everything_is_refused() -> None:
    detector = tiny_detector()
    assert frozen_names(detector, ["0-2", "3"], key="k") == below(*BACKBONE, "model.3.")
    assert frozen_names(detector, [], key="k") == frozenset()
    with pytest.raises(ConfigError, match="k: backbone, 3-4 leave no parameter to learn"):
        frozen_names(detector, ["backbone", "3-4"], key="k")


def test_later_factors_go_before_earlier_ones() -> None:
    detector = tiny_detector()
    factors = [("backbone", 0.1), ("model.2", 0.5), ("head", 1.0)]
    found = learning_factors(detector, factors, frozenset(), key="k")
    parameters = dict(detector.named_parameters())
    assert found.keys() == below(*BACKBONE) & parameters.keys()
    assert found["model.1.conv.weight"] == 0.1
    assert found["model.2.cv1.conv.weight"] == 0.5


def test_a_factor_for_frozen_layers_has_no_effect() -> None:
    frozen = below("model.0.")
    with pytest.raises(ConfigError, match="k: '0' has no effect"):
        learning_factors(tiny_detector(), [("0", 0.5)], frozen, key="k")
    found = learning_factors(tiny_detector(), [("backbone", 0.5)], frozen, key="k")
    assert not found.keys() & frozen
