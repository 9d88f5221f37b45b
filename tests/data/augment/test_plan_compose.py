"""Image and boxes of whole scenes against a slow reference that visits every pixel and box."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.augment.one_by_one import Affine
from tests.data.augment.scenes import Scene, draw
from tests.data.augment.test_affine import slow_point
from utils.structures.images import Record

SIZE = 96


def record(index: int, size: tuple[int, int], boxes: npt.ArrayLike = ()) -> Record:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    labels = 100 * index + np.arange(len(rows))
    return Record(
        path=str(index),
        image_id=index,
        size=size,
        boxes=rows,
        labels=labels,
        ignore=labels % 2 == 1,
        area=np.zeros(len(rows), np.float32),
    )


def ramp(source: Record) -> npt.NDArray[np.uint8]:
    """An image that says where and which it is: red along x, green along y, blue its index.

    A bilinear warp of a ramp is the ramp at the mapped place, so errors of half a pixel show.
    """
    height, width = source.size
    image = np.empty((height, width, 3), np.uint8)
    image[..., 0] = ((np.arange(width) + 0.5) * (240 / width)).round()
    image[..., 1] = ((np.arange(height) + 0.5) * (240 / height)).round()[:, None]
    image[..., 2] = 20 * int(source.path) + 10
    return image


def affine(
    degrees: float = 0.0,
    zoom: float = 1.0,
    shear: float = 0.0,
    perspective: float = 0.0,
    shift: tuple[float, float] = (0.0, 0.0),
) -> Affine:
    return Affine(
        degrees=degrees,
        zoom=zoom,
        shear_degrees=(shear, -shear / 2),
        perspective=(perspective, -perspective / 2),
        shift=shift,
    )


def expected_pixels(
    scene: Scene, change: Affine
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Oracle: (S, S, 3) float colours and (S, S) margin to the nearest outline, in canvas pixels.

    Every output pixel's centre is mapped back to the canvas and looked up in every tile.
    """
    layout, records = scene.layout(), scene.records
    snapped = change.snapped(layout.corner, layout.side, SIZE)
    matrix = np.linalg.inv(snapped.matrix(layout.side, SIZE))
    grid = np.stack(np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5), -1).reshape(-1, 2)
    back = np.concatenate((grid, np.ones((len(grid), 1))), 1) @ matrix.T
    colours, margins = [], []
    for x, y in back[:, :2] / back[:, 2:]:
        colour, margin = (114.0, 114.0, 114.0), np.inf
        for tile in layout.tiles:
            x1, y1, x2, y2 = tile.region
            if x2 <= x1 or y2 <= y1:
                continue
            inside = min(x - x1, x2 - x, y - y1, y2 - y)
            margin = min(margin, abs(inside))
            if inside >= 0:
                height, width = records[tile.index].size
                column = (x - tile.offset[0]) / tile.scale[1]
                row = (y - tile.offset[1]) / tile.scale[0]
                colour = (column * 240 / width, row * 240 / height, 20 * tile.index + 10)
        colours.append(colour)
        margins.append(margin)
    return np.array(colours).reshape(SIZE, SIZE, 3), np.array(margins).reshape(SIZE, SIZE)


SQUARE_SIZES = [
    (60, 60),
    (60, 80),
    (90, 60),
    (64, 64),
    (60, 60),
    (70, 60),
    (60, 75),
    (80, 80),
    (60, 61),
]
LARGE_SIZES = [(480, 640), (300, 400), (500, 375), (331, 517)]
CHANGES = {
    "still": affine(),
    "zoomed in": affine(zoom=1.45, shift=(0.1, -0.07)),
    "zoomed out": affine(zoom=0.55, shift=(-0.04, 0.09)),
    "rotated": affine(degrees=17, zoom=0.8),
    "turned over": affine(degrees=180),
    "sheared": affine(shear=12, zoom=1.1),
    "in perspective": affine(perspective=0.001, degrees=-8),
}


def laid_out(lay: str, sizes: list[tuple[int, int]]) -> Scene:
    """Return the scene of the layout named."""
    count = {"single": 1, "four": 4, "nine": 9}[lay]
    return Scene(records=[record(i, (sizes * 3)[i]) for i in range(count)], image_size=SIZE)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [SQUARE_SIZES, LARGE_SIZES], ids=["small", "large"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("lay", ["single", "four", "nine"])
def test_pixels_are_where_the_geometry_says(
    lay: str, change: Affine, sizes: list[tuple[int, int]]
) -> None:
    scene = laid_out(lay, sizes)
    image = draw(scene, change, ramp).image
    want, margin = expected_pixels(scene, change)
    is_upright = change.degrees == 0 and change.shear_degrees == (0, 0)
    # Outlines are exact where they are upright; else OpenCV rounds them to 1/16 px and adds a rim.
    clear = margin > (1e-6 if is_upright else 1.5 / change.zoom)
    assert np.array_equal(image[clear][:, 2], want[clear][:, 2])
    # Away from outlines the ramp is exact up to rounding of source, warp and result.
    inner = margin > 4 / change.zoom
    assert inner.sum() > 500
    error = image[inner].astype(float) - want[inner]
    assert np.abs(error).max() <= 2.5
    assert np.abs(error.mean(axis=0)).max() < 0.2


def slow_boxes(scene: Scene, change: Affine) -> list[tuple[float, ...]]:
    """Oracle: one box at a time through scale, placement, clip, each step of the change, clip."""
    layout, records = scene.layout(), scene.records
    change = change.snapped(layout.corner, layout.side, SIZE)
    kept = []
    for tile in layout.tiles:
        source = records[tile.index]
        x1, y1, x2, y2 = tile.region
        for box, label, ignore in zip(source.boxes, source.labels, source.ignore, strict=True):
            left, right = (
                min(max(value * tile.scale[1] + tile.offset[0], x1), x2) for value in box[[0, 2]]
            )
            top, bottom = (
                min(max(value * tile.scale[0] + tile.offset[1], y1), y2) for value in box[[1, 3]]
            )
            if x2 <= x1 or y2 <= y1:
                continue
            corners = [
                slow_point(change, (x, y), layout.side, SIZE)
                for x in (left, right)
                for y in (top, bottom)
            ]
            xs, ys = ([min(max(v, 0), SIZE) for v in axis] for axis in zip(*corners, strict=True))
            width, height = max(xs) - min(xs), max(ys) - min(ys)
            before = (right - left) * (bottom - top) * change.zoom**2
            if min(width, height) > 2 and width * height > 0.1 * before:
                kept.append((min(xs), min(ys), max(xs), max(ys), label, ignore))
    return kept


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    nine=st.booleans(),
    degrees=st.sampled_from([0.0, 9.0, -70.0]),
    perspective=st.sampled_from([0.0, 0.001]),
)
def test_boxes_equal_the_slow_way(
    seed: int, nine: bool, degrees: float, perspective: float
) -> None:
    rng = np.random.default_rng(seed)
    records = []
    for index in range(9 if nine else 4):
        height, width = rng.integers(20, 200, 2)
        corner = rng.uniform(0, 0.9, (int(rng.integers(0, 5)), 2))
        far = corner + rng.uniform(0.02, 1, corner.shape) * (1 - corner)
        boxes = np.concatenate((corner, far), 1) * [width, height, width, height]
        records.append(record(index, (int(height), int(width)), boxes))
    scene = Scene(records=records, image_size=SIZE, seed=seed)
    change = affine(
        degrees, rng.uniform(0.5, 1.5), degrees / 9, perspective, rng.uniform(-0.2, 0.2, 2)
    )
    sample = draw(scene, change, ramp)
    want = slow_boxes(scene, change)
    assert sample.labels.tolist() == [row[4] for row in want]
    assert sample.ignore.tolist() == [row[5] for row in want]
    assert np.allclose(sample.boxes, np.array([row[:4] for row in want]).reshape(-1, 4), atol=1e-2)
    assert sample.boxes.min(initial=0) >= 0
    assert sample.boxes.max(initial=0) <= SIZE


def painted(source: Record) -> npt.NDArray[np.uint8]:
    image = np.zeros((*source.size, 3), np.uint8)
    for x1, y1, x2, y2 in source.boxes.astype(int):
        image[y1:y2, x1:x2] = 255
    return image


@pytest.mark.parametrize("scale", [1, 7], ids=["small", "large"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_box_is_the_bounds_of_what_it_surrounds(change: Affine, scale: int) -> None:
    box = np.array([30, 20, 62, 58]) * scale
    source = record(0, (80 * scale, 96 * scale), [box])
    sample = draw(Scene(records=[source], image_size=SIZE), change, painted)
    # The tip of a turned box covers little of its last pixel.
    rows, columns = np.nonzero(sample.image[..., 0] > 120)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert sample.boxes[0] == pytest.approx(seen, abs=1.0)


def test_image_outside_the_view_is_not_read() -> None:
    read: list[str] = []

    def spy(source: Record) -> npt.NDArray[np.uint8]:
        read.append(source.path)
        return ramp(source)

    records = [record(i, (50, 50), [(5, 5, 45, 45)]) for i in range(4)]
    scene = Scene(records=records, image_size=SIZE, seed=0)
    sample = draw(scene, affine(shift=(1.0, 1.0)), spy)
    assert read == ["0"]
    assert set(sample.labels.tolist()) <= {0}
    everything = draw(scene, affine(zoom=0.5), ramp)
    assert everything.labels.tolist() == [0, 100, 200, 300]


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (3, 2)])
def test_degenerate_images(size: tuple[int, int]) -> None:
    height, width = size
    source = record(0, size, [(0, 0, width, height)])
    for change in CHANGES.values():
        for count in (1, 4, 9):
            scene = Scene(records=[source] * count, image_size=SIZE)
            assert draw(scene, change, ramp).image.shape == (SIZE, SIZE, 3)


def test_all_out_of_view_is_a_background_sample() -> None:
    source = record(0, (50, 50), [(5, 5, 45, 45)])
    sample = draw(
        Scene(records=[source], image_size=SIZE), affine(shift=(1.0, 0.0), zoom=0.5), ramp
    )
    assert sample.boxes.shape == (0, 4)
    assert (sample.image == 114).all()


def test_strong_shrinking_averages_instead_of_skipping_pixels() -> None:
    """White lines, one column in four, become an even grey at a quarter of the size."""
    source = record(0, (SIZE * 4, SIZE * 4))
    lines = np.zeros((SIZE * 4, SIZE * 4, 3), np.uint8)
    lines[:, ::4] = 200
    sample = draw(Scene(records=[source], image_size=SIZE), affine(), lambda _: lines)
    assert (sample.image == 50).all()
