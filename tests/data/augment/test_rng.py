import numpy as np
import pytest

from data.augment.rng import Stream, generator


def test_same_key_gives_same_numbers() -> None:
    first, second = (generator(3, Stream.SAMPLE, 7, 11).random(100) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    "other",
    [
        (4, Stream.SAMPLE, 7, 11),
        (3, Stream.ORDER, 7, 11),
        (3, Stream.SAMPLE, 8, 11),
        (3, Stream.SAMPLE, 7, 12),
        (3, Stream.SAMPLE, 11, 7),
    ],
)
def test_every_part_of_the_key_counts(other: tuple[int, Stream, int, int]) -> None:
    numbers = generator(3, Stream.SAMPLE, 7, 11).random(1000)
    assert not np.isin(generator(*other).random(1000), numbers).any()
