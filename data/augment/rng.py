"""Random generators determined by a key, independent of workers, loading order, resume and loss."""

import hashlib
from enum import IntEnum
from functools import lru_cache
from typing import Any

import numpy as np


class Stream(IntEnum):
    """Purpose of a generator of an epoch or a batch."""

    ORDER = 0
    IMAGE_SIZE = 1


def generator(
    seed: int, stream: Stream | str, epoch: int, index: int, copy: int = 0
) -> np.random.Generator:
    """Return the generator of (seed, stream, epoch, index, copy); all are 0 or more, below 2^63.

    Streams of one key are independent of each other: one of the enumeration, or the name of an
    operation, whose numbers do not depend on other operations.

    Philox is counter-based: the seed and the stream are its key, epoch, index and copy the upper
    words of its counter, so two keys share no number before 2^64 draws.
    """
    bits = np.random.Philox(key=[seed, _number(stream)], counter=[0, copy, index, epoch])
    return np.random.Generator(bits)


class SampleStreams:
    """The streams of samples of one seed, by name: the numbers of `generator`, six times as fast.

    A name's generator is created once and reset for each sample, so it is valid until its name is
    requested again.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._generators: dict[str, np.random.Generator] = {}
        self._states: dict[str, dict[str, Any]] = {}

    def __call__(self, name: str, epoch: int, index: int, copy: int) -> np.random.Generator:
        """Return the generator of operation `name` for a sample."""
        if name not in self._generators:
            made = self._generators[name] = generator(self._seed, name, epoch, index, copy)
            self._states[name] = dict(made.bit_generator.state)
            return made
        known, state = self._generators[name], self._states[name]
        state["state"]["counter"][:] = (0, copy, index, epoch)
        known.bit_generator.state = state
        return known


@lru_cache(maxsize=256)
def _number(stream: Stream | str) -> int:
    """Return a number from 2^62 to 2^63 for a name, the number of the enumeration below."""
    if isinstance(stream, Stream):
        return int(stream)
    digest = hashlib.blake2b(stream.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2 | 1 << 62
