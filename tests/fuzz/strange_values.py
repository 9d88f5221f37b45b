"""Random values by a seed, in the words of hypothesis, which takes 50 times as long for each."""

import random
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_LETTERS = string.printable + "äß漢\u202e\u200b\x00\x1b\x7f\x85\ud800\U0001f600"


class Strategy:
    """A way to draw a value."""

    def __init__(self, draw: Callable[[random.Random], Any]) -> None:
        self.draw = draw

    def __or__(self, other: "Strategy") -> "Strategy":
        return one_of(self, other)

    def map(self, change: Callable[[Any], Any]) -> "Strategy":
        return Strategy(lambda source: change(self.draw(source)))


def one_of(*choices: Strategy) -> Strategy:
    return Strategy(lambda source: source.choice(choices).draw(source))


def sampled_from(values: Sequence[Any]) -> Strategy:
    return Strategy(lambda source: source.choice(values))


def none() -> Strategy:
    return Strategy(lambda source: None)


def booleans() -> Strategy:
    return sampled_from([False, True])


def integers(low: int, high: int) -> Strategy:
    return Strategy(lambda source: source.randint(low, high))


def floats(low: float = -1e308, high: float = 1e308) -> Strategy:
    """Draw a number of a range; of the whole range also NaN, infinities and tiny ones."""
    strange = [float("nan"), float("inf"), -float("inf"), -0.0, 5e-324, 1e308, 0.5]
    if high < 1e308:
        return Strategy(lambda source: source.uniform(low, high))
    return one_of(sampled_from(strange), Strategy(lambda source: source.gauss(0, 1000)))


def text(*, max_size: int) -> Strategy:
    return Strategy(
        lambda source: "".join(source.choice(_LETTERS) for _ in range(source.randint(0, max_size)))
    )


def lists(items: Strategy, *, min_size: int = 0, max_size: int) -> Strategy:
    return Strategy(
        lambda source: [items.draw(source) for _ in range(source.randint(min_size, max_size))]
    )


def tuples(*items: Strategy) -> Strategy:
    return Strategy(lambda source: tuple(item.draw(source) for item in items))


def dictionaries(keys: Strategy, values: Strategy, *, max_size: int = 4) -> Strategy:
    return lists(tuples(keys, values), max_size=max_size).map(dict)


def fields(optional: Mapping[str, Strategy]) -> Strategy:
    """Draw a dictionary with some of the keys."""
    return Strategy(
        lambda source: {
            key: value.draw(source) for key, value in optional.items() if source.random() < 0.8
        }
    )


def recursive(leaves: Strategy, extend: Callable[[Strategy], Strategy], depth: int = 3) -> Strategy:
    inner = leaves
    for _ in range(depth):
        inner = one_of(leaves, leaves, extend(inner))
    return inner
