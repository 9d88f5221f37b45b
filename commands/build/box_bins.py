"""How many bins code a side of a box (`model.bins`), and which objects they reach.

A distribution over 0 to N - 1 cells has no mean above N - 1: with 8 bins on a level of stride 32 no
side is further than 224 px from the point it is counted from, and no box is larger than 448 px,
however long the training. That suits images of 320 px, on which 8 bins were measured
(docs/modern.md); of the objects of coco128, one in seventeen is larger in images of 640 px.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace

from commands.weights_by_name import find_weights_file
from configs.heads import distribution_bins, with_bins
from configs.reading.load import LoadedExperiment
from configs.reading.weights.own import read_content
from configs.schema.model import MAX_BINS
from data.anchors import trained_sizes_wh
from models.graph.build import measure_strides
from models.graph.rows import parse_graph
from utils.structures.images import Record

logger = logging.getLogger(__name__)

KEY = "model.bins"
AUTO, AS_IN_GRAPH = "auto: ", "as in the graph"
REACH = 0.7
"""Of the image's side: what bins of `auto` reach at least. Half of it is the least for an object as
large as the image, from its centre alone; 0.7 is what 8 bins reach at 320 px."""
STEP = 4
"""Bins are a multiple of it, so that the channels of an output fill whole vector registers."""


def with_number_of_bins(loaded: LoadedExperiment) -> LoadedExperiment:
    """Return the experiment with a number for `model.bins`, and the graph with so many bins.

    As it is where the head codes no distributions. A resumed run has its number.

    Raises:
        ConfigError: the graph cannot be built.
        UserError: weights of that name are not on this machine.
    """
    of_graph, stated = distribution_bins(loaded.graph), loaded.experiment.model.bins
    if not of_graph:
        return loaded
    bins, origin = (of_graph if stated == "graph" else stated), loaded.origins.get(KEY, "default")
    if bins == "auto":
        bins, why = _fitted(loaded, of_graph)
        origin = AUTO + why
    model = loaded.experiment.model.model_copy(update={"bins": bins})
    return replace(
        loaded,
        experiment=loaded.experiment.model_copy(update={"model": model}),
        graph=with_bins(loaded.graph, bins),
        origins={**loaded.origins, KEY: origin},
    )


def _fitted(loaded: LoadedExperiment, of_graph: int) -> tuple[int, str]:
    """Return how many bins `auto` stands for, and why."""
    weights, usual = loaded.experiment.model.weights, (of_graph, AS_IN_GRAPH)
    if weights is not None:
        path = find_weights_file(weights)
        graph = (read_content(path) or {}).get("graph")
        known = distribution_bins(graph) if isinstance(graph, dict) else 0
        return (known, f"as in {path.name}") if known else usual
    side, name = largest_side(loaded), loaded.graph_path.name
    stride = max(measure_strides(parse_graph(loaded.graph, num_classes=1, source=name)))
    needed = needed_bins(side, stride)
    if needed <= of_graph:
        return usual
    return needed, (
        f"the {of_graph} of {name} reach {(of_graph - 1) * stride} px from a cell, objects in "
        f"images of {side} px need {math.ceil(REACH * side)}"
    )


def needed_bins(side: int, stride: int) -> int:
    """Return the bins that reach `REACH` of an image's side, at most as many as are possible.

    Args:
        side: pixels.
        stride: of the coarsest level, pixels.
    """
    cells = math.ceil(round(REACH * side / stride, 6))
    return min(STEP * math.ceil((cells + 1) / STEP), MAX_BINS)


def largest_side(loaded: LoadedExperiment) -> int:
    """Return the side of the largest images that the network trains on, pixels."""
    train = loaded.experiment.train
    return math.ceil(train.image_size * (1 + train.multi_scale))


def report_bins(loaded: LoadedExperiment, records: Sequence[Record], *, stride: int) -> None:
    """Log why the bins are not those of the graph, and warn of objects that they do not reach.

    Args:
        loaded: with a number of bins; nothing is said of a head without distributions.
        records: training images.
        stride: of the coarsest level, pixels.
    """
    bins, origin = distribution_bins(loaded.graph), loaded.origins.get(KEY, "")
    if not bins:
        return
    if origin.startswith(AUTO) and origin != AUTO + AS_IN_GRAPH:
        logger.info("%s = %d: %s", KEY, bins, origin.removeprefix(AUTO))
    warning = objects_out_of_reach(records, bins=bins, stride=stride, side=largest_side(loaded))
    if warning is not None:
        logger.warning("%s", warning)


def objects_out_of_reach(
    records: Sequence[Record], *, bins: int, stride: int, side: int
) -> str | None:
    """Return a sentence about training boxes larger than any box of the head, None without one.

    Args:
        records: training images; their boxes are scaled as the letterbox scales them.
        bins: of a side, 2 or more.
        stride: of the coarsest level, pixels.
        side: of the square network input, pixels.
    """
    sizes_wh = trained_sizes_wh(records, side)
    largest = 2 * (bins - 1) * stride
    too_large = int((sizes_wh.max(axis=1) > largest).sum()) if len(sizes_wh) else 0
    if not too_large:
        return None
    needed = needed_bins(side, stride)
    remedy = f"set {KEY}={needed}" if needed > bins else "take smaller images"
    return (
        f"{KEY}: {bins} bins reach {largest // 2} px from a cell, so no box is larger than "
        f"{largest} px; {too_large:,} of {len(sizes_wh):,} objects "
        f"({too_large / len(sizes_wh):.1%}) are, in images of {side} px; {remedy}"
    )
