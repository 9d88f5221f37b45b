"""Views of a picture: they cover it, show what they say, and lead back to where a box was."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.loading.framing import Framing
from data.loading.tta_tiling import View, ViewPlan, tile_spans
from utils.structures.results import Detections

FRAMING = Framing(image_size=64, stride=32)


def found(*boxes: tuple[float, float, float, float]) -> Detections:
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Detections(
        boxes=rows, scores=torch.ones(len(rows)), labels=torch.zeros(len(rows), dtype=torch.int64)
    )


@given(
    length=st.integers(1, 5000),
    tile=st.integers(32, 900),
    overlap=st.floats(0, 0.9),
    data=st.data(),
)
def test_spans_cover_everything_and_hold_what_fits_into_the_overlap(
    length: int, tile: int, overlap: float, data: st.DataObject
) -> None:
    spans = tile_spans(length, tile, overlap)
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert all(end - start == min(tile, length) for start, end in spans)
    assert len(set(spans)) == len(spans)
    for (_, end), (start, _) in pairwise(spans):
        assert end - start >= min(tile * overlap, tile - 1)
    size = data.draw(st.integers(1, max(1, min(int(tile * overlap), length))))
    place = data.draw(st.integers(0, length - size))
    assert any(start <= place and place + size <= end for start, end in spans)


def test_no_more_tiles_than_needed() -> None:
    assert tile_spans(640, 640, 0.2) == [(0, 640)]
    assert tile_spans(641, 640, 0.2) == [(0, 640), (1, 641)]
    assert tile_spans(1000, 500, 0.0) == [(0, 500), (500, 1000)]
    assert tile_spans(1600, 640, 0.25) == [(0, 640), (480, 1120), (960, 1600)]


def test_a_picture_as_large_as_a_tile_is_seen_once() -> None:
    plan = ViewPlan(framing=FRAMING, tile=100)
    assert [view.region for view in plan.views((100, 100))] == [(0, 0, 100, 100)]
    assert len(plan.views((40, 101))) == 3


def test_views_are_the_whole_and_every_tile_in_all_scales_and_mirrored() -> None:
    framing = Framing(image_size=128, stride=32)
    plan = ViewPlan(framing=framing, tile=60, overlap=0.0, is_augmented=True)
    views = plan.views((60, 120))
    assert len(views) == 3 * 3 * 2
    assert len(set(views)) == len(views)
    assert {view.region for view in views} == {(0, 0, 120, 60), (0, 0, 60, 60), (60, 0, 120, 60)}
    assert {view.framing.image_size for view in views} == {96, 128, 160}
    assert views[0] == View(region=(0, 0, 120, 60), picture_size=(60, 120), framing=framing)


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_spot_in_the_network_input_is_found_again_in_the_picture(is_mirrored: bool) -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[110:120, 170:190] = 255
    view = View(
        region=(140, 100, 204, 164),
        picture_size=(200, 300),
        framing=FRAMING,
        is_mirrored=is_mirrored,
    )
    sample = view.sample(picture)
    assert sample.image.shape[:2] == view.shape
    rows, columns = np.nonzero((sample.image == 255).all(axis=2))
    corners = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    in_network = torch.tensor([corners], dtype=torch.float32)
    in_region = sample.meta.to_original(in_network)
    back = view.to_picture(found(tuple(in_region[0].tolist()))).boxes  # type: ignore[arg-type]
    assert back[0].tolist() == pytest.approx([170, 110, 190, 120], abs=0.01)


def test_only_borders_inside_the_picture_cut() -> None:
    corner = View(region=(0, 0, 100, 100), picture_size=(100, 300), framing=FRAMING)
    middle = View(region=(100, 0, 200, 100), picture_size=(100, 300), framing=FRAMING)
    boxes = torch.tensor(
        [[0.0, 0, 50, 50], [60, 50, 99, 100], [101, 3, 150, 50], [103, 0, 197, 100]]
    )
    assert corner.is_cut(boxes).tolist() == [False, True, True, True]
    assert middle.is_cut(boxes).tolist() == [True, True, True, False]
    whole = View(region=(0, 0, 300, 100), picture_size=(100, 300), framing=FRAMING)
    assert not whole.is_cut(boxes).any()
    assert whole.is_cut(torch.zeros(0, 4)).shape == (0,)
