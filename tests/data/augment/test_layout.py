import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.augment.layout import Canvases, tile_regions
from tests.data.augment.one_by_one import Region

Size = tuple[int, int]
SIDES = st.tuples(st.integers(1, 900), st.integers(1, 900))


def overlap(first: Region, second: Region) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0) * max(height, 0)


def regions_of(canvases: Canvases, sizes: list[Size], image_size: int) -> list[Region]:
    """Regions of the tiles of one scene; they lie on the canvas and share nothing."""
    table = np.array(canvases.tiles)
    image_sizes = np.full(len(table), float(image_size))
    _, _, found = tile_regions(table, np.array(sizes)[table[:, 1]], image_sizes)
    regions = [tuple(row) for row in found.tolist()]
    seen = [region for region in regions if region[2] > region[0] and region[3] > region[1]]
    for x1, y1, x2, y2 in seen:
        assert min(x1, y1) >= 0
        assert max(x2, y2) <= canvases.sides[0]
    for position, region in enumerate(seen):
        assert all(overlap(region, other) == 0 for other in seen[position + 1 :])
    return regions


@given(sizes=st.lists(SIDES, min_size=4, max_size=4), seed=st.integers(0, 2**16))
def test_four_images_meet_in_one_point(sizes: list[Size], seed: int) -> None:
    canvases = Canvases()
    canvases.add_four(range(4), 320, np.random.default_rng(seed))
    assert canvases.sides == [640]
    top_left, top_right, bottom_left, bottom_right = regions_of(canvases, sizes, 320)
    meeting = top_left[2:]
    assert all(160 <= value <= 480 for value in meeting)
    assert canvases.corners == [meeting]
    assert (top_right[0], top_right[3]) == meeting
    assert (bottom_left[2], bottom_left[1]) == meeting
    assert bottom_right[:2] == meeting


def test_long_sides_become_the_image_size() -> None:
    canvases = Canvases()
    canvases.add_four([5, 6, 7, 8], 320, np.random.default_rng(0))
    assert [tile[1] for tile in canvases.tiles] == [5, 6, 7, 8]
    for x1, y1, x2, y2 in regions_of(canvases, [(100, 200)] * 9, 320):
        # Wide images: full height wherever the cell is at least as high.
        assert y2 - y1 == 160
        assert x2 - x1 <= 320


def test_meeting_point_fills_the_middle_half() -> None:
    rng, canvases = np.random.default_rng(0), Canvases()
    for _ in range(1000):
        canvases.add_four(range(4), 320, rng)
    assert np.min(canvases.corners, axis=0).max() < 170
    assert np.max(canvases.corners, axis=0).min() > 470


@given(sizes=st.lists(SIDES, min_size=9, max_size=9), seed=st.integers(0, 2**16))
def test_nine_images_surround_the_fifth(sizes: list[Size], seed: int) -> None:
    canvases = Canvases()
    canvases.add_nine(range(9), sizes[4], 320, np.random.default_rng(seed))
    assert canvases.sides == [640]
    regions = regions_of(canvases, sizes, 320)
    x1, y1, x2, y2 = regions[4]
    assert canvases.corners == [(x1, y1)]
    above, left, right, below = (regions[i] for i in (1, 3, 5, 7))
    assert (above[0], above[3]) == (x1, y1)
    assert (left[2], left[1]) == (x1, y1)
    assert (right[0], right[1]) == (x2, y1)
    assert (below[0], below[1]) == (x1, y2)
    assert regions[0][2:] == (x1, y1)
    assert regions[8][:2] == (x2, y2)


def test_single_image_is_letterboxed() -> None:
    canvases = Canvases()
    canvases.add_single(0, (100, 200), 320)
    assert canvases.sides == [320]
    assert regions_of(canvases, [(100, 200)], 320) == [(0, 80, 320, 240)]
