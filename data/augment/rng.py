"""Random generators that depend on a key only: not on workers, order of loading, resume or loss."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a generator is for; streams of one key are independent of each other."""

    ORDER = 0
    IMAGE_SIZE = 1
    SAMPLE = 2


def generator(
    seed: int, stream: Stream, epoch: int, index: int, copy: int = 0
) -> np.random.Generator:
    """Return the generator of (seed, stream, epoch, index, copy); all are 0 or more, below 2^63.

    Philox is counter-based: the seed and the stream are its key, epoch, index and copy the upper
    words of its counter, so two keys share no number before 2^64 draws.
    """
    bits = np.random.Philox(key=[seed, int(stream)], counter=[0, copy, index, epoch])
    return np.random.Generator(bits)
