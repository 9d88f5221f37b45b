"""The detector: images to raw predictions.

Legend: B images, A anchors per cell, C classes, L levels, H W height and width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from configs.errors import ConfigError
from models.graph.build import build_modules, measure_size_multiple, measure_strides
from models.graph.rows import IMAGE, Graph, parse_graph
from models.heads import HEADS, DetectionHead
from models.heads.detection_head import LevelAnchors
from models.heads.priors import Priors
from models.limits import MAX_PARAMETERS
from utils.structures.predictions import Predictions
from utils.structures.score_calibrator import ScoreCalibrator

Anchors = Sequence[Sequence[float]]
"""One list w, h, w, h, ... in input pixels per level."""


class Detector(nn.Module):
    """A one-stage detector built from a graph.

    Entries of `state_dict()` are `model.<row>.<...>`, as in released weights of this family.
    `mapping` is the description it was built from, kept so that a checkpoint can rebuild it.
    `size_multiple` is what height and width of the images have to be multiples of;
    `score_calibrator` calibrates scores after NMS, `forward` knows nothing of it.
    """

    _stride_column: Tensor
    _input_mean: Tensor | None

    def __init__(
        self,
        graph: Graph,
        *,
        strides: Sequence[int],
        size_multiple: int,
        mapping: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.graph = graph
        self.mapping = mapping
        self.strides = tuple(strides)
        self.size_multiple = size_multiple
        self.score_calibrator: ScoreCalibrator | None = None
        self.model = build_modules(graph)
        self.register_buffer(
            "_stride_column", torch.tensor(strides, dtype=torch.float32).view(-1, 1, 1), False
        )
        mean = graph.input_mean
        self.register_buffer(
            "_input_mean", None if mean is None else torch.tensor(mean).view(1, 3, 1, 1), False
        )
        self._finished = _last_readers(graph)

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return self.graph.num_classes

    @property
    def head(self) -> DetectionHead:
        """The last row."""
        return cast(DetectionHead, self.model[-1])

    @property
    def anchors(self) -> Tensor | None:
        """(L, A, 2) width and height in input pixels, None for a head without anchors."""
        anchors = self.head.anchors
        return None if anchors is None else anchors * self._stride_column

    @torch.no_grad()
    def set_anchors(self, anchors: Tensor) -> None:
        """Replace the anchors by (L, A, 2) width and height in input pixels, fine to coarse.

        Raises:
            ValueError: the shape is another, or the head has no anchors.
        """
        own = self.head.anchors
        if own is None:
            raise ValueError("the head has no anchors to be set")
        if anchors.shape != own.shape:
            raise ValueError(f"anchors must be {tuple(own.shape)}, got {tuple(anchors.shape)}")
        own.copy_(anchors.to(self._stride_column) / self._stride_column)

    def forward(self, images: Tensor) -> Predictions:
        """Return the raw predictions of images (B, 3, H, W), float in [0, 1], RGB.

        Raises:
            ValueError: H or W is not a multiple of `size_multiple`.
        """
        self._check_images(images)
        if self._input_mean is not None:
            images = images - self._input_mean
        features: dict[int, Any] = {IMAGE: images}
        for row, module in zip(self.graph.rows, self.model, strict=True):
            features[row.index] = module(*(features[source] for source in row.sources))
            for source in self._finished[row.index]:
                del features[source]
        return Predictions(
            levels=features[len(self.model) - 1],
            anchors=self.anchors,
            strides=self.strides,
            decoder=self.head.decoder,
            class_scores=self.graph.class_scores,
        )

    def _check_images(self, images: Tensor) -> None:
        multiple = self.size_multiple
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images must be (B, 3, H, W), got {tuple(images.shape)}")
        if images.shape[2] % multiple or images.shape[3] % multiple:
            raise ValueError(
                f"image height and width must be multiples of {multiple} for this network, "
                f"got {images.shape[2]}x{images.shape[3]}"
            )


def build_detector(
    mapping: Mapping[str, Any],
    *,
    num_classes: int,
    anchors: Anchors | None = None,
    source: str = "graph",
    max_parameters: int = MAX_PARAMETERS,
) -> Detector:
    """Return the detector a graph describes, levels fine to coarse, weights as torch draws them.

    `init_weights` sets the priors of the head; without it training starts with wrong scores.

    Args:
        mapping: the graph, see `parse_graph`.
        num_classes: number of classes of the data.
        anchors: one list w, h, w, h, ... in input pixels per level, instead of the graph's; None
            takes the graph's, or `default_anchors` where the graph only counts them, or none for a
            head without anchors.
        source: name of the graph's file, for messages.
        max_parameters: a network of more is not built.

    Raises:
        ConfigError: the graph cannot be built.
    """
    if anchors is not None:
        mapping = {**mapping, "anchors": [list(level) for level in anchors]}
    graph = parse_graph(
        mapping, num_classes=num_classes, source=source, max_parameters=max_parameters
    )
    strides = measure_strides(graph)
    graph, strides = _fine_to_coarse(graph, strides)
    detector = Detector(
        graph,
        strides=strides,
        size_multiple=measure_size_multiple(graph, strides),
        mapping=mapping,
    )
    stated = graph.anchors or default_anchors(graph, strides)
    if stated is not None:
        detector.set_anchors(torch.tensor(order_anchors(stated), dtype=torch.float32))
    return detector


def _fine_to_coarse(graph: Graph, strides: tuple[int, ...]) -> tuple[Graph, tuple[int, ...]]:
    """Return the graph with the head's levels sorted by stride, as `Predictions` promises."""
    order = sorted(range(len(strides)), key=lambda level: strides[level])
    if order == list(range(len(strides))):
        return graph, strides
    head = replace(graph.rows[-1], sources=tuple(graph.rows[-1].sources[level] for level in order))
    ordered = replace(
        graph,
        rows=(*graph.rows[:-1], head),
        head_channels=tuple(graph.head_channels[level] for level in order),
        anchors=None if graph.anchors is None else tuple(graph.anchors[level] for level in order),
    )
    return ordered, tuple(strides[level] for level in order)


def _last_readers(graph: Graph) -> tuple[tuple[int, ...], ...]:
    """Return for each row the sources nobody reads after it, so that their memory is given back."""
    last: dict[int, int] = {}
    for row in graph.rows:
        last.update(dict.fromkeys(row.sources, row.index))
    return tuple(
        tuple(source for source, reader in last.items() if reader == row.index)
        for row in graph.rows
    )


def default_anchors(graph: Graph, strides: Sequence[int]) -> tuple[LevelAnchors, ...] | None:
    """Return (width, height) in pixels for each level and anchor of a graph that counts them, None
    where the head has none. A start: `model.anchors: auto` fits anchors to the data.

    Raises:
        ConfigError: the number does not suit the head.
    """
    try:
        return HEADS[graph.rows[-1].block].default_anchors(strides, graph.num_anchors)
    except ValueError as error:
        raise ConfigError(f"{graph.source}: anchors: {error}") from error


def order_anchors(anchors: tuple[LevelAnchors, ...]) -> tuple[LevelAnchors, ...]:
    """Return the anchors with their levels reversed if they run from large to small areas."""
    first, last = (sum(width * height for width, height in anchors[end]) for end in (0, -1))
    return anchors[::-1] if first > last else anchors


def init_weights(detector: Detector, priors: Priors | None = None) -> None:
    """Set the head's weights by its own rule; every other weight stays as torch drew it.

    convolutions, linear layers: torch's default | batch norm: weight 1, bias 0, eps 1e-3, momentum
    0.03 (`blocks.conv.batch_norm`), in `ResNet` rows torch's 1e-5 and 0.1 | head: see
    `init_weights` of its class.

    Because the head is drawn anew, calling twice does not add twice; the generator is torch's
    default one, so `torch.manual_seed` decides.

    Args:
        detector: changed in place.
        priors: what is known of the data; None for published values.

    Raises:
        ValueError: a count is not positive, or there is not one per class or level.
    """
    detector.head.init_weights(priors or Priors(), detector.strides)
