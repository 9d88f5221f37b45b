"""Modules from a graph: building the blocks, measuring strides and sizes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from configs.errors import ConfigError
from configs.heads import HEAD_TRAITS
from models.blocks import BLOCKS
from models.graph.arguments import parse_activation
from models.graph.rows import IMAGE, IMAGE_CHANNELS, Graph, Row
from models.heads import HEADS
from models.limits import MAX_MAP_VALUES

DRAWING = {"uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_"}
"""What torch's constructors fill weights with, by the name of the function."""


class SkipInit(TorchFunctionMode):
    """Modules built inside keep uninitialised weights.

    No random number is drawn, and the system grants memory that is never written only in name.
    """

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call `function`, unless it draws: then return the tensor it would have filled."""
        if getattr(function, "__name__", "") in DRAWING:
            return args[0] if args else (kwargs or {})["tensor"]
        return function(*args, **(kwargs or {}))


PROBE_SIZE = 1024
"""Side in pixels of the image that strides are measured with; a multiple of every sane stride."""

_MISFITS = (
    TypeError,
    ValueError,
    RuntimeError,
    ArithmeticError,
    LookupError,
    AssertionError,
    MemoryError,
)
"""What torch raises for arguments or shapes that a module cannot take."""


def build_modules(graph: Graph) -> nn.ModuleList:
    """Return one module per row, named so that released weights of this family fit.

    Weights are drawn as torch draws them, from its default generator.

    Raises:
        ConfigError: a block does not take the row's arguments.
    """
    modules, total = nn.ModuleList(), 0
    for row in graph.rows:
        modules.append(_build_row(graph, row))
        total += sum(parameter.numel() for parameter in modules[-1].parameters())
        if total > graph.max_parameters:
            raise ConfigError(
                f"{graph.where(row)}: the rows up to here have {total:,} parameters, at most "
                f"{graph.max_parameters:,} are possible here"
            )
    if graph.activation is not None:
        _replace_activations(modules, graph.activation, graph.source)
    if graph.batch_norm is not None:
        for norm in modules.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.eps, norm.momentum = graph.batch_norm
    return modules


def _build_row(graph: Graph, row: Row) -> nn.Module:
    try:
        if row.block in HEADS:
            return _build_head(graph, row)
        build = BLOCKS[row.block].build
        copies = [build(*row.arguments) for _ in range(row.repeats)]
    except _MISFITS as error:
        raise ConfigError(f"{graph.where(row)}: {_first_line(error)}") from error
    return copies[0] if row.repeats == 1 else nn.Sequential(*copies)


def _build_head(graph: Graph, row: Row) -> nn.Module:
    build: Callable[..., nn.Module] = HEADS[row.block]
    sizes = {"num_classes": graph.num_classes}
    if HEAD_TRAITS[row.block].has_anchors:
        sizes["num_anchors"] = graph.num_anchors
    return build(graph.head_channels, *row.arguments, **sizes)


def _replace_activations(modules: nn.ModuleList, activation: str, source: str) -> None:
    """Replace the default activation of all blocks by `activation`."""
    for module in modules.modules():
        if isinstance(getattr(module, "act", None), nn.SiLU):
            module.act = parse_activation(activation, f"{source}: activation")


def measure_strides(graph: Graph) -> tuple[int, ...]:
    """Return input pixels per cell of each level, in the order of the head's sources.

    Raises:
        ConfigError: the rows do not fit together; names the first that does not.
    """
    return tuple(
        _stride(graph, graph.rows[-1], level) for level in _level_shapes(graph, PROBE_SIZE)
    )


def measure_size_multiple(graph: Graph, strides: Sequence[int]) -> int:
    """Return what height and width of an image have to be multiples of.

    It is the largest stride, unless the head takes cells that reach over the image's border; then
    it is the smallest stride of which every multiple passes through the rows: levels that are only
    reached by halving, such as P6 and P7, may round up.
    """
    if not HEADS[graph.rows[-1].block].takes_partial_cells:
        return max(strides)
    return next(size for size in sorted(strides) if _takes_multiples(graph, strides, size))


def _takes_multiples(graph: Graph, strides: Sequence[int], size: int) -> bool:
    """Whether an image one `size` larger than the probe gives levels that cover all of it."""
    side = PROBE_SIZE + size
    try:
        levels = _level_shapes(graph, side)
    except ConfigError:
        return False
    cells = [(-(-side // stride),) * 2 for stride in strides]
    return [tuple(level.shape[2:]) for level in levels] == cells


def _level_shapes(graph: Graph, side: int) -> list[Tensor]:
    """Return the head's inputs (0, C, H, W) for images of `side` pixels, in its order.

    A batch of no images shows all shapes without arithmetic. On torch's meta device the first
    operation would import its compiler, which takes two seconds and 180 MiB.
    """
    with torch.device("cpu"), SkipInit():
        modules = build_modules(graph).eval()
        features = {IMAGE: torch.empty(0, IMAGE_CHANNELS, side, side)}
    with torch.no_grad():
        for row, module in zip(graph.rows[:-1], modules, strict=False):
            inputs = [features[source] for source in row.sources]
            features[row.index] = _probe(graph, row, module, inputs, side)
    return [features[source] for source in graph.rows[-1].sources]


def _probe(
    graph: Graph, row: Row, module: nn.Module, inputs: Sequence[Tensor], side: int
) -> Tensor:
    shapes = " and ".join("x".join(map(str, item.shape[1:])) for item in inputs)
    try:
        output: Tensor = module(*inputs)
    except _MISFITS as error:
        raise ConfigError(
            f"{graph.where(row)}: does not fit its input {shapes} "
            f"(channels x height x width at {side} px): {_first_line(error)}"
        ) from error
    if output.shape[1:].numel() > MAX_MAP_VALUES:
        raise ConfigError(
            f"{graph.where(row)}: makes a map of {tuple(output.shape[1:])} for an image of {side} "
            "px, more than fits"
        )
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
