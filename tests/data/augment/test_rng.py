from itertools import product

import numpy as np
import pytest

from data.augment.rng import SampleStreams, Stream, generator

KEYS = [(epoch, index, copy) for epoch, index, copy in product((0, 3), (0, 5), (0, 1))]


def test_same_key_gives_same_numbers() -> None:
    for stream in ("hsv", Stream.ORDER):
        first, second = (generator(3, stream, 7, 11).random(100) for _ in range(2))
        assert np.array_equal(first, second)


@pytest.mark.parametrize(
    "other",
    [
        (4, "hsv", 7, 11),
        (3, Stream.ORDER, 7, 11),
        (3, "mosaic", 7, 11),
        (3, "hsv", 8, 11),
        (3, "hsv", 7, 12),
        (3, "hsv", 11, 7),
        (3, "hsv", 7, 11, 1),
    ],
)
def test_every_part_of_the_key_counts(other: tuple[int, Stream, int, int]) -> None:
    numbers = generator(3, "hsv", 7, 11).random(1000)
    assert not np.isin(generator(*other).random(1000), numbers).any()


def test_the_numbers_of_a_name_are_for_ever() -> None:
    """Another machine or another release must not change what a training sees."""
    assert generator(3, "hsv", 7, 11).integers(1000, size=4).tolist() == [181, 836, 187, 303]


def test_streams_of_samples_are_the_generators_bit_for_bit() -> None:
    """In any order, however much was taken before, odd numbers of 32-bit words too."""
    streams = SampleStreams(5)
    for repetition in range(2):
        for place, key in enumerate(KEYS[:: 1 - 2 * repetition]):
            for name in ("mosaic", "hsv", "mosaic"):
                got, want = streams(name, *key), generator(5, name, *key)
                for rng in (got, want):
                    rng.integers(100, size=place % 3, dtype=np.uint32)
                assert np.array_equal(got.random(place), want.random(place))
                assert got.integers(1 << 30) == want.integers(1 << 30)


def test_two_names_may_be_used_in_turn() -> None:
    streams, key = SampleStreams(5), (1, 2, 3)
    first, second = streams("a", *key), streams("b", *key)
    numbers = [(first.random(), second.random()) for _ in range(3)]
    want = zip(generator(5, "a", *key).random(3), generator(5, "b", *key).random(3), strict=True)
    assert numbers == list(want)
