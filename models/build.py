"""Modules from a graph: building the blocks, measuring strides, choosing anchors."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from configs.errors import ConfigError
from models.arguments import parse_activation
from models.blocks import BLOCKS
from models.graph import HEAD, IMAGE, IMAGE_CHANNELS, Graph, LevelAnchors, Row
from models.heads import Detect

PROBE_SIZE = 1024
"""Side in pixels of the image that strides are measured with; a multiple of every sane stride."""

DEFAULT_ANCHOR_STRIDES = 3.0
"""Smallest default anchor in strides; published anchors are about 1.4 to 11 strides wide."""

_MISFITS = (TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AssertionError)
"""What torch raises for arguments or shapes that a module cannot take."""


def build_modules(graph: Graph) -> nn.ModuleList:
    """Return one module per row, named so that released weights of this family fit.

    Weights are drawn as torch draws them, from its default generator.

    Raises:
        ConfigError: a block does not take the row's arguments.
    """
    modules = nn.ModuleList(_build_row(graph, row) for row in graph.rows)
    if graph.activation is not None:
        _replace_activations(modules, graph.activation, graph.source)
    return modules


def _build_row(graph: Graph, row: Row) -> nn.Module:
    if row.block == HEAD:
        return Detect(
            graph.head_channels, num_classes=graph.num_classes, num_anchors=graph.num_anchors
        )
    build = BLOCKS[row.block].build
    try:
        copies = [build(*row.arguments) for _ in range(row.repeats)]
    except _MISFITS as error:
        raise ConfigError(f"{graph.where(row)}: {_first_line(error)}") from error
    return copies[0] if row.repeats == 1 else nn.Sequential(*copies)


def _replace_activations(modules: nn.ModuleList, activation: str, source: str) -> None:
    """Put `activation` wherever a block has its default; done here so that blocks need not know."""
    for module in modules.modules():
        if isinstance(getattr(module, "act", None), nn.SiLU):
            module.act = parse_activation(activation, f"{source}: activation")


def measure_strides(graph: Graph) -> tuple[int, ...]:
    """Return input pixels per cell of each level, in the order of the head's sources.

    Runs shapes only (torch's meta device): no memory, no arithmetic, no random numbers.

    Raises:
        ConfigError: the rows do not fit together; names the first that does not.
    """
    with torch.device("meta"):
        modules = build_modules(graph)
        features = {IMAGE: torch.empty(1, IMAGE_CHANNELS, PROBE_SIZE, PROBE_SIZE)}
    modules.eval()
    for row, module in zip(graph.rows, modules, strict=True):
        inputs = [features[source] for source in row.sources]
        if row.block == HEAD:
            return tuple(_stride(graph, row, level) for level in inputs)
        features[row.index] = _probe(graph, row, module, inputs)
    raise ConfigError(f"{graph.source}: has no {HEAD} row")


def _probe(graph: Graph, row: Row, module: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    shapes = " and ".join("x".join(map(str, item.shape[1:])) for item in inputs)
    try:
        output: Tensor = module(*inputs)
    except _MISFITS as error:
        raise ConfigError(
            f"{graph.where(row)}: does not fit its input {shapes} "
            f"(channels x height x width at {PROBE_SIZE} px): {_first_line(error)}"
        ) from error
    if output.ndim != 4 or output.shape[1] != row.out_channels:
        raise ConfigError(
            f"{graph.where(row)}: makes {tuple(output.shape[1:])} from {shapes}, "
            f"but a map of {row.out_channels} channels was expected"
        )
    return output


def _stride(graph: Graph, row: Row, level: Tensor) -> int:
    height, width = level.shape[2:]
    if height != width or PROBE_SIZE % height:
        raise ConfigError(
            f"{graph.where(row)}: a level has {height}x{width} cells for a {PROBE_SIZE} px image; "
            "its stride is not a whole number"
        )
    return PROBE_SIZE // int(height)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def default_anchors(strides: Sequence[int], num_anchors: int) -> tuple[LevelAnchors, ...]:
    """Return anchors for a graph that only counts them: squares that cover one octave per level.

    Anchor k of A on a level of stride s has sides 3 s 2^(k / A), so neighbouring levels join up.
    They are a start; `model.anchors: auto` fits anchors to the data.

    Returns:
        (width, height) in pixels for each level and anchor.
    """
    octave = [2 ** (k / num_anchors) for k in range(num_anchors)]
    sides = [[DEFAULT_ANCHOR_STRIDES * stride * factor for factor in octave] for stride in strides]
    return tuple(tuple((side, side) for side in level) for level in sides)


def order_anchors(anchors: tuple[LevelAnchors, ...]) -> tuple[LevelAnchors, ...]:
    """Return the anchors with their levels reversed if they run from large to small areas."""
    first, last = (sum(width * height for width, height in anchors[end]) for end in (0, -1))
    return anchors[::-1] if first > last else anchors
