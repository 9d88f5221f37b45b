"""Files damaged in many ways: bits, bytes, cuts, repetitions, words of other files."""

import random
from collections.abc import Sequence

NASTY_BYTES = (0, 1, 0x28, 0x2E, 0x63, 0x7F, 0x80, 0xFF)


def mutated(seed: bytes, draw: random.Random, words: Sequence[bytes] = ()) -> bytes:
    """Return `seed` after one to four random edits; words of the format are put in at times."""
    data = bytearray(seed)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(data) + 1)
        kind = draw.randrange(7)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1 and place < len(data):
            data[place] = draw.choice(NASTY_BYTES)
        elif kind == 2:
            del data[place : place + draw.randint(1, 20)]
        elif kind == 3:
            data[place:place] = data[place : place + draw.randint(1, 40)] * draw.randint(1, 4)
        elif kind == 4:
            del data[place:]
        elif kind == 5 and words:
            data[place : place + draw.randint(0, 8)] = draw.choice(words)
        else:
            data[place:place] = draw.randbytes(draw.randint(1, 8))
    return bytes(data)
