"""Pairs of like pictures against comparing each with each."""

import cv2
import numpy as np
import pytest

from data.doctor.similar import LEAST_CORRELATION, MOST_BITS, difference_hashes, similar_pairs


def scenes(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (count, 5, 5), np.uint8)
    return np.array([cv2.resize(each, (16, 16), interpolation=cv2.INTER_CUBIC) for each in coarse])


def slow_pairs(thumbnails: np.ndarray) -> set[tuple[int, int]]:
    """Compare every two pictures, bit by bit, upright and mirrored."""

    def bits(picture: np.ndarray) -> list[bool]:
        wide = cv2.resize(picture.astype(np.float32), (9, 8), interpolation=cv2.INTER_AREA)
        high = cv2.resize(picture.astype(np.float32), (8, 9), interpolation=cv2.INTER_AREA)
        across = [wide[y, x + 1] > wide[y, x] for y in range(8) for x in range(8)]
        return across + [high[y + 1, x] > high[y, x] for y in range(8) for x in range(8)]

    def alike(one: np.ndarray, two: np.ndarray) -> bool:
        if one.std() < 1 or two.std() < 1:
            return False
        differing = sum(a != b for a, b in zip(bits(one), bits(two), strict=True))
        correlation = np.corrcoef(one.ravel().astype(float), two.ravel().astype(float))[0, 1]
        return bool(differing <= MOST_BITS and correlation >= LEAST_CORRELATION)

    number = len(thumbnails)
    return {
        (i, j)
        for i in range(number)
        for j in range(i + 1, number)
        if alike(thumbnails[i], thumbnails[j]) or alike(thumbnails[i], thumbnails[j][:, ::-1])
    }


@pytest.mark.slow
@pytest.mark.parametrize("noise", [1.0, 4.0, 9.0, 20.0])
def test_the_same_pairs_as_comparing_each_with_each(noise: float) -> None:
    rng = np.random.default_rng(int(noise))
    base = scenes(12)
    changed = np.clip(base[:8] + rng.normal(0, noise, base[:8].shape), 0, 255).astype(np.uint8)
    mirrored = changed[4:, :, ::-1]
    blank = np.full((2, 16, 16), 90, np.uint8)
    pictures = np.concatenate([base, changed, mirrored, blank])
    assert {tuple(pair) for pair in similar_pairs(pictures).tolist()} == slow_pairs(pictures)


def test_brightness_contrast_and_mirroring_hide_no_copy() -> None:
    base = scenes(6)
    darker = (base * 0.7 + 10).astype(np.uint8)
    pairs = similar_pairs(np.concatenate([base, darker, base[:, :, ::-1]])).tolist()
    assert {(i, i + 6) for i in range(6)} | {(i, i + 12) for i in range(6)} <= set(
        map(tuple, pairs)
    )


def test_pictures_of_different_scenes_are_no_pairs() -> None:
    assert len(similar_pairs(scenes(600))) == 0


def test_a_crowd_of_copies_gives_few_pairs_that_join_them_all() -> None:
    pictures = np.repeat(scenes(1), 500, axis=0)
    pairs = similar_pairs(pictures)
    assert len(pairs) < 500 * 8
    assert set(pairs.ravel().tolist()) == set(range(500))


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_have_no_pairs(count: int) -> None:
    assert similar_pairs(scenes(count).reshape(-1, 16, 16)).shape == (0, 2)


def test_hashes_of_mirrored_pictures_have_opposite_bits_across() -> None:
    ramp = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (1, 16, 1))
    forth, back = difference_hashes(np.concatenate([ramp, ramp[:, :, ::-1]]))
    assert forth[:8].tolist() == [255] * 8
    assert back[:8].tolist() == [0] * 8
