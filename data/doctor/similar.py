"""Pairs of nearly equal pictures among many, without comparing each with each.

A picture is told by 128 comparisons of neighbouring areas (dHash, across and down; public
description: Krawetz, "Kind of like that", 2013), which survive other sizes, brightness and
compression. Two hashes that differ in at most 7 of 128 bits agree in one of eight bands of 16
bits (pigeonhole), so only pictures that share a band are compared; what is left must also have
thumbnails that nearly agree. Mirrored copies are found the same way.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

MOST_BITS = 7
"""Hashes of the same picture differ in at most so many of 128 bits."""
LEAST_CORRELATION = 0.985
"""Of two thumbnails of the same picture, at any brightness and contrast."""
_CROWD = 64
"""A band that more pictures share is compared with neighbours in the sorted order only."""

Thumbnails = npt.NDArray[np.uint8]
Pairs = npt.NDArray[np.int64]


def similar_pairs(thumbnails: Thumbnails) -> Pairs:
    """Return (K, 2) positions i < j of nearly equal pictures, mirrored ones too, ascending.

    Args:
        thumbnails: (N, 16, 16) grey; a picture without contrast is like no other.
    """
    number = len(thumbnails)
    if number < 2:
        return np.zeros((0, 2), np.int64)
    both = np.concatenate([thumbnails, thumbnails[:, :, ::-1]])
    hashes = difference_hashes(both)
    levels = both.reshape(len(both), -1).astype(np.float32)
    levels -= levels.mean(axis=1, keepdims=True)
    spread = levels.std(axis=1, keepdims=True)
    levels /= np.maximum(spread, 1e-6)
    has_contrast = spread[:, 0] >= 1.0
    candidates = _candidates(hashes, number)
    if not len(candidates):
        return candidates
    first, second = candidates.T
    bits = np.unpackbits(hashes[first] ^ hashes[second], axis=1).sum(axis=1)
    near = (bits <= MOST_BITS) & has_contrast[first] & has_contrast[second]
    first, second = first[near], second[near]
    correlation = np.einsum("kp,kp->k", levels[first], levels[second]) / levels.shape[1]
    same = correlation >= LEAST_CORRELATION
    pairs = np.stack([first[same] % number, second[same] % number], axis=1)
    pairs.sort(axis=1)
    return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def difference_hashes(thumbnails: Thumbnails) -> npt.NDArray[np.uint8]:
    """Return (N, 16) bytes: 64 comparisons across and 64 down, from thumbnails (N, 16, 16)."""
    hashes = np.empty((len(thumbnails), 16), np.uint8)
    for index, thumbnail in enumerate(np.ascontiguousarray(thumbnails, np.float32)):
        across = np.asarray(cv2.resize(thumbnail, (9, 8), interpolation=cv2.INTER_AREA))
        down = np.asarray(cv2.resize(thumbnail, (8, 9), interpolation=cv2.INTER_AREA))
        bits = np.concatenate(
            [(across[:, 1:] > across[:, :-1]).ravel(), (down[1:] > down[:-1]).ravel()]
        )
        hashes[index] = np.packbits(bits)
    return hashes


def _candidates(hashes: npt.NDArray[np.uint8], number: int) -> Pairs:
    """Return (K, 2) pairs that share a band, the first of each not mirrored."""
    bands = np.ascontiguousarray(hashes).view(np.uint16)
    found = [np.zeros((0, 2), np.int64)]
    for band in bands.T:
        # Within a band by the whole hash: near ones of a crowd become neighbours.
        order = np.lexsort((hashes[:, 15], hashes[:, 7], hashes[:, 0], band))
        cuts = np.flatnonzero(np.diff(band[order])) + 1
        found += [pairs for group in np.split(order, cuts) for pairs in _within(group)]
    pairs = np.concatenate(found)
    # Two mirrored pictures say what the two upright ones say.
    pairs = pairs[(pairs < number).any(axis=1)]
    return np.unique(pairs, axis=0)


def _within(group: npt.NDArray[np.int64]) -> Iterator[Pairs]:
    if len(group) < 2:
        return
    if len(group) <= _CROWD:
        first, second = np.triu_indices(len(group), 1)
        yield np.stack([group[first], group[second]], axis=1)
        return
    for step in (1, 2, 3):
        yield np.stack([group[:-step], group[step:]], axis=1)
