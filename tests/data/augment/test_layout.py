import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.augment.layout import Layout, Region, mosaic_four, mosaic_nine, single

SIDES = st.tuples(st.integers(1, 900), st.integers(1, 900))


def overlap(first: Region, second: Region) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)


def check(layout: Layout, side: int) -> None:
    """Regions lie on the canvas and in their image, and share nothing with each other."""
    regions = [tile.region for tile in layout.tiles]
    regions = [region for region in regions if region[2] > region[0] and region[3] > region[1]]
    assert layout.side == side
    for x1, y1, x2, y2 in regions:
        assert min(x1, y1) >= 0
        assert max(x2, y2) <= side
    for position, region in enumerate(regions):
        assert all(overlap(region, other) == 0 for other in regions[position + 1 :])


@given(sizes=st.lists(SIDES, min_size=4, max_size=4), seed=st.integers(0, 2**16))
def test_four_images_meet_in_one_point(sizes: list[tuple[int, int]], seed: int) -> None:
    layout = mosaic_four(range(4), sizes, 320, np.random.default_rng(seed))
    check(layout, 640)
    top_left, top_right, bottom_left, bottom_right = (tile.region for tile in layout.tiles)
    meeting = top_left[2:]
    assert all(160 <= value <= 480 for value in meeting)
    assert (top_right[0], top_right[3]) == meeting
    assert (bottom_left[2], bottom_left[1]) == meeting
    assert bottom_right[:2] == meeting


def test_long_sides_become_the_image_size() -> None:
    layout = mosaic_four([5, 6, 7, 8], [(100, 200)] * 4, 320, np.random.default_rng(0))
    assert [tile.index for tile in layout.tiles] == [5, 6, 7, 8]
    for tile in layout.tiles:
        assert tile.scale == (1.6, 1.6)
        x1, y1, x2, y2 = tile.region
        # Wide images: full height wherever the cell is at least as high.
        assert y2 - y1 == 160
        assert x2 - x1 <= 320


def test_meeting_point_fills_the_middle_half() -> None:
    rng = np.random.default_rng(0)
    points = [
        mosaic_four(range(4), [(64, 64)] * 4, 320, rng).tiles[0].region[2:] for _ in range(1000)
    ]
    assert np.min(points, axis=0).max() < 170
    assert np.max(points, axis=0).min() > 470


@given(sizes=st.lists(SIDES, min_size=9, max_size=9), seed=st.integers(0, 2**16))
def test_nine_images_surround_the_fifth(sizes: list[tuple[int, int]], seed: int) -> None:
    layout = mosaic_nine(range(9), sizes, 320, np.random.default_rng(seed))
    check(layout, 640)
    x1, y1, x2, y2 = layout.tiles[4].region
    above, left, right, below = (layout.tiles[i].region for i in (1, 3, 5, 7))
    assert (above[0], above[3]) == (x1, y1)
    assert (left[2], left[1]) == (x1, y1)
    assert (right[0], right[1]) == (x2, y1)
    assert (below[0], below[1]) == (x1, y2)
    assert layout.tiles[0].region[2:] == (x1, y1)
    assert layout.tiles[8].region[:2] == (x2, y2)


def test_single_image_is_letterboxed() -> None:
    (tile,) = single(3, (100, 200), 320).tiles
    assert tile.index == 3
    assert tile.region == (0, 80, 320, 240)
    assert tile.matrix((100, 200)) @ [200, 100, 1] == pytest.approx([320, 240, 1])
