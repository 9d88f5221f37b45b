"""Charts of a data set: sizes of its objects, shapes, crowds, and where objects lie."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from utils.report.charts.plot_area import PlotArea, css, legend_of_series

Values = npt.NDArray[np.floating]
SMALL = 8.0
HEAT_CELLS = 24
_FIGURE = 520


def size_chart(sides: Mapping[str, Values], image_size: int) -> str:
    """Return how large objects are at the input size, in steps of half a power of two.

    Args:
        sides: split -> (N,) square roots of box areas in pixels at the input size.
        image_size: long side of the input in pixels.
    """
    edges = np.arange(0, math.log2(max(image_size, 2)) + 0.5, 0.5)
    area = _shares_area(
        f"Object sizes at {image_size} px",
        "share of the objects by the square root of their box's area",
        {name: np.log2(np.maximum(own, 1.0)) for name, own in sides.items()},
        edges,
        x_label="square root of the box area, px",
        hint=lambda low, high: f"{2**low:.0f} to {2**high:.0f} px",
    )
    area.zone(0.0, math.log2(SMALL), f"below {SMALL:g} px: hard to learn")
    # A number at the very end would be cut off.
    for power in range(0, math.ceil(edges[-1] - 0.3)):
        area.x_name(float(power), f"{2**power}")
    return area.figure(legend_of_series(sides))


def shape_chart(ratios: Mapping[str, Values]) -> str:
    """Return how wide objects are for their height; `ratios` are (N,) width / height."""
    edges = np.arange(-4.0, 4.01, 0.5)
    area = _shares_area(
        "Object shapes",
        "share of the objects by width over height",
        {name: np.log2(np.clip(own, 2**-3.99, 2**3.99)) for name, own in ratios.items()},
        edges,
        x_label="width : height",
        hint=lambda low, high: f"{_ratio(low)} to {_ratio(high)}",
    )
    for power in range(-4, 5):
        area.x_name(float(power), _ratio(power))
    return area.figure(legend_of_series(ratios))


def crowd_chart(counts: Mapping[str, npt.NDArray[np.int64]]) -> str:
    """Return how many objects an image has; `counts` are (I,) objects of each image."""
    edges = np.array([0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 1e9])
    most = max((int(own.max()) for own in counts.values() if len(own)), default=0)
    last = int(np.searchsorted(edges, most, side="right"))
    bins = {
        name: np.digitize(own, edges[1:last]).astype(float) + 0.5 for name, own in counts.items()
    }
    area = _shares_area(
        "Objects in an image",
        "share of the images by their number of objects",
        bins,
        np.arange(0, last + 1.0),
        x_label="objects, from",
        hint=lambda low, high: f"{_bin_name(edges, int(low), most)} objects",
    )
    for index in range(last):
        area.x_name(index + 0.5, f"{int(edges[index])}")
    return area.figure(legend_of_series(counts))


def heat_map(title: str, centers: Values) -> str:
    """Return where the centres of objects lie; (N, 2) x, y in shares of the image."""
    cells, _, _ = np.histogram2d(
        centers[:, 1], centers[:, 0], bins=HEAT_CELLS, range=((0, 1), (0, 1))
    )
    most = max(float(cells.max()), 1.0)
    area = PlotArea(
        title=title,
        description=f"{len(centers)} centres in {HEAT_CELLS} x {HEAT_CELLS} cells",
        caption=f"edges: of the whole image; fullest cell: {most:.0f} objects",
        x_range=(-0.5, HEAT_CELLS - 0.5),
        y_range=(HEAT_CELLS - 0.5, -0.5),
        width=_FIGURE,
        height=_FIGURE * 5 // 8,
        left=1,
        right=1,
        top=1,
        bottom=1,
        is_x_numeric=False,
        is_y_numeric=False,
    )
    area.frame()
    for (row, column), count in np.ndenumerate(cells):
        if count:
            area.cell(column, row, math.sqrt(count / most), f"{count:.0f} objects")
    return area.figure()


def _shares_area(
    title: str,
    description: str,
    values: Mapping[str, Values],
    edges: Values,
    *,
    x_label: str,
    hint: Callable[[float, float], str],
) -> PlotArea:
    """Return an area with a group of bars for every bin: each split's share of its values."""
    heights = {
        name: np.histogram(np.clip(own, edges[0], edges[-1]), bins=edges)[0] / max(len(own), 1)
        for name, own in values.items()
    }
    top = max((float(own.max()) for own in heights.values()), default=0.0)
    area = PlotArea(
        title=title,
        description=description,
        x_range=(float(edges[0]), float(edges[-1])),
        y_range=(0.0, max(top * 100, 1.0) * 1.05),
        x_label=x_label,
        y_label="% of the split",
        is_x_numeric=False,
    )
    for index, (name, own) in enumerate(heights.items()):
        for low, high, share in zip(edges[:-1], edges[1:], own, strict=True):
            width = (high - low) * 0.9 / len(heights)
            left = low + (high - low) * 0.05 + width * index
            label = f"{name}: {share:.1%}, {hint(float(low), float(high))}"
            area.bar(float(left), float(left + width), float(share) * 100, css(index), label)
    return area


def _ratio(power: float) -> str:
    value = 2 ** abs(power)
    return f"1:{value:.3g}" if power < 0 else f"{value:.3g}:1"


def _bin_name(edges: Sequence[float] | Values, index: int, most: int) -> str:
    low, high = int(edges[index]), min(int(edges[index + 1]) - 1, most)
    return f"{low}" if high <= low else f"{low}-{high}"
