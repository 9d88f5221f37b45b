"""A network as rows `[from, repeats, block, args]`: read and checked here, built in `build.py`.

The form is that of the published YAMLs of this family, so they load unchanged. Nothing in a row is
evaluated as code: blocks are looked up in `blocks.BLOCKS`, texts in `arguments.py`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard, cast, get_args

from configs.errors import ConfigError
from configs.heads import HEAD_TRAITS, head_name, head_traits
from models.blocks import BLOCKS
from models.custom import own_names
from models.graph.arguments import nearest_name, resolve
from models.heads import HEADS
from models.heads.detection_head import LevelAnchors
from models.limits import (
    MAX_ANCHORS,
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_MULTIPLE,
    MAX_PARAMETERS,
    MAX_REPEATS,
    MAX_ROWS,
    MAX_SIDE,
    check_plain,
)
from utils.structures.predictions import ClassScores

KEYS = (
    "nc",
    "depth_multiple",
    "width_multiple",
    "channel_multiple",
    "anchors",
    "activation",
    "class_scores",
    "batch_norm",
    "input_mean",
    "backbone",
    "head",
)
OF_A_USER = (
    "a block of a module of your own is imported by a training, and by the other programs with "
    "--trust"
)
IMAGE = -1
"""Source index of the image itself."""
IMAGE_CHANNELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One block of the network.

    sources: indices of the rows whose output it reads, `IMAGE` for the input. arguments: what the
    block's constructor gets. repeats: blocks in a row, 1 where the constructor took them.
    """

    index: int
    sources: tuple[int, ...]
    block: str
    arguments: tuple[Any, ...]
    repeats: int
    out_channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A checked network description; the last row is the detection head.

    anchors: (width, height) in input pixels for each level and anchor, or None where the
    description gives only their number, or the head has none. num_anchors: of a cell, 1 without.
    head_channels: channels of each level's feature map, in the order of the last row's sources.
    batch_norm: eps and momentum of every norm, None for those of its blocks. input_mean: what the
    network subtracts from red, green and blue in [0, 1] before its first row.
    source: the file it came from, for messages.
    """

    rows: tuple[Row, ...]
    num_classes: int
    num_anchors: int
    anchors: tuple[LevelAnchors, ...] | None
    head_channels: tuple[int, ...]
    activation: str | None
    class_scores: ClassScores
    source: str
    batch_norm: tuple[float, float] | None = None
    input_mean: tuple[float, float, float] | None = None
    max_parameters: int = MAX_PARAMETERS

    def where(self, row: Row) -> str:
        """Return the words that locate a row in a message."""
        return _where(self.source, row.index, row.block)


def parse_graph(
    mapping: Mapping[str, Any],
    *,
    num_classes: int,
    source: str = "graph",
    max_parameters: int = MAX_PARAMETERS,
) -> Graph:
    """Return the checked network that a YAML mapping describes.

    Args:
        mapping: keys `backbone`, `head` (lists of rows), for a head with anchors `anchors` (one
            list w, h, w, h, ... in pixels per level, or their number per level), and optionally
            `nc` (replaced by `num_classes`), `depth_multiple`, `width_multiple`,
            `channel_multiple`, `activation`, `class_scores` (sigmoid, or softmax for a detector
            trained with such a class loss), `batch_norm` (eps and momentum of its norms),
            `input_mean` (subtracted from red, green and blue in [0, 1]).
        num_classes: number of classes of the data, at least 1.
        source: name of the file, for messages.
        max_parameters: a network of more is not built.

    Raises:
        ConfigError: anything that cannot be built, or is larger than `limits.py` allows; names
            file, row and block.
    """
    check_plain(mapping, source)
    if num_classes > MAX_CLASSES:
        raise ConfigError(f"{source}: {num_classes} classes, at most {MAX_CLASSES} fit")
    graph = _Reader(mapping, num_classes, source).read()
    return replace(graph, max_parameters=min(max_parameters, MAX_PARAMETERS))


class _Reader:
    """Goes through the rows once, keeping the output channels of those before."""

    def __init__(self, mapping: Mapping[str, Any], num_classes: int, source: str) -> None:
        _check_keys(mapping, source)
        self.mapping = mapping
        self.num_classes = num_classes
        self.source = source
        self.depth = _positive(mapping.get("depth_multiple", 1.0), "depth_multiple", source)
        self.width = _positive(mapping.get("width_multiple", 1.0), "width_multiple", source)
        self.divisor = _positive(mapping.get("channel_multiple", 8), "channel_multiple", source)
        self.names: dict[str, Any] = {"nc": num_classes}
        self.anchors, self.num_anchors = None, 1
        if "anchors" in mapping:
            self.anchors, self.num_anchors = _read_anchors(mapping["anchors"], source)
            self.names["anchors"] = mapping["anchors"]
        self.channels: dict[int, int] = {IMAGE: IMAGE_CHANNELS}
        self.repeats = 0

    def read(self) -> Graph:
        stated = [*self.mapping["backbone"], *self.mapping["head"]]
        if len(stated) > MAX_ROWS:
            raise ConfigError(f"{self.source}: {len(stated)} rows, at most {MAX_ROWS} are built")
        rows = tuple(self._read_row(index, row) for index, row in enumerate(stated))
        self._check_head(rows)
        return Graph(
            rows=rows,
            num_classes=self.num_classes,
            num_anchors=self.num_anchors,
            anchors=self.anchors,
            head_channels=tuple(self.channels[source] for source in rows[-1].sources),
            activation=self._activation(),
            class_scores=self._class_scores(),
            source=self.source,
            batch_norm=self._batch_norm(),
            input_mean=self._input_mean(),
        )

    def _activation(self) -> str | None:
        activation = self.mapping.get("activation")
        if activation is not None and not isinstance(activation, str):
            raise ConfigError(f"{self.source}: activation must be text such as nn.ReLU()")
        return activation

    def _class_scores(self) -> ClassScores:
        stated = self.mapping.get("class_scores", "sigmoid")
        if stated not in get_args(ClassScores):
            raise ConfigError(f"{self.source}: class_scores must be sigmoid or softmax")
        return cast(ClassScores, stated)

    def _batch_norm(self) -> tuple[float, float] | None:
        stated = self.mapping.get("batch_norm")
        if stated is None:
            return None
        values = stated if isinstance(stated, list | tuple) else ()
        if len(values) != 2 or not all(_is_length(value) and value < 1 for value in values):
            raise ConfigError(
                f"{self.source}: batch_norm must be [eps, momentum], both between 0 and 1"
            )
        return float(values[0]), float(values[1])

    def _input_mean(self) -> tuple[float, float, float] | None:
        stated = self.mapping.get("input_mean")
        if stated is None:
            return None
        values = stated if isinstance(stated, list | tuple) else ()
        if len(values) != IMAGE_CHANNELS or not all(_is_share(value) for value in values):
            raise ConfigError(
                f"{self.source}: input_mean must be red, green and blue, each from 0 to 1"
            )
        red, green, blue = map(float, values)
        return red, green, blue

    def _read_row(self, index: int, stated: Any) -> Row:
        if not isinstance(stated, list | tuple) or len(stated) != 4:
            raise ConfigError(
                f"{self.source}, row {index}: must be [from, repeats, block, args], got {stated!r}"
            )
        origin, repeats, block, arguments = stated
        where = _where(self.source, index, block)
        if not isinstance(block, str) or block not in {**BLOCKS, **HEADS}:
            known = {**BLOCKS, **HEADS}
            hint = f"; {OF_A_USER}" if block in own_names(self.mapping) else ""
            raise ConfigError(f"{where}: unknown block; {nearest_name(str(block), known)}{hint}")
        if not _is_int(repeats) or repeats < 1:
            raise ConfigError(f"{where}: repeats must be a whole number from 1, got {repeats!r}")
        if not isinstance(arguments, list | tuple):
            raise ConfigError(f"{where}: args must be a list, got {arguments!r}")
        sources = self._sources(origin, index, block, where)
        resolved = resolve(arguments, self.names, where)
        if block in HEADS:
            return self._head_row(index, sources, block, resolved)
        scaled = max(round(repeats * self.depth), 1) if repeats > 1 else repeats
        self.repeats += scaled
        if self.repeats > MAX_REPEATS:
            raise ConfigError(
                f"{where}: with depth_multiple {self.depth:g} the rows up to here repeat "
                f"{self.repeats} blocks, at most {MAX_REPEATS} are built"
            )
        return self._block_row(index, sources, block, (resolved, scaled))

    def _sources(self, origin: Any, index: int, block: str, where: str) -> tuple[int, ...]:
        stated = origin if isinstance(origin, list | tuple) else (origin,)
        if not stated or not all(_is_int(item) for item in stated):
            raise ConfigError(f"{where}: from must be a row number or a list of them, got {origin}")
        sources = tuple(item if item >= 0 else index + item for item in stated)
        for item, row in zip(stated, sources, strict=True):
            if row >= index or row < IMAGE:
                raise ConfigError(f"{where}: from {item} is not a row before row {index}")
        takes_many = block in HEADS or BLOCKS[block].takes_many
        if len(sources) > 1 and not takes_many:
            raise ConfigError(f"{where}: reads one row, but from lists {len(sources)}")
        return sources

    def _head_row(
        self, index: int, sources: tuple[int, ...], block: str, arguments: tuple[Any, ...]
    ) -> Row:
        stated = ("nc", "anchors") if HEAD_TRAITS[block].has_anchors else ("nc",)
        least, optional = len(stated), HEADS[block].optional_arguments
        is_number_fit = least <= len(arguments) <= least + optional
        if not is_number_fit or arguments[0] != self.num_classes:
            more = f" and up to {optional} more" if optional else ""
            raise ConfigError(
                f"{_where(self.source, index, block)}: args must be [{', '.join(stated)}]{more}, "
                f"got {list(arguments)}"
            )
        return Row(
            index=index,
            sources=sources,
            block=block,
            arguments=arguments[least:],
            repeats=1,
            out_channels=0,
        )

    def _block_row(
        self, index: int, sources: tuple[int, ...], block: str, stated: tuple[Any, int]
    ) -> Row:
        arguments, repeats = stated
        kind = BLOCKS[block]
        widths = [self.channels[source] for source in sources]
        in_channels = widths[0] if kind.channels == "equal" else sum(widths)
        out_channels = in_channels
        if kind.channels == "scaled":
            where = _where(self.source, index, block)
            out_channels = self._scaled_width(arguments, where)
            arguments = (out_channels, *arguments[1:])
        self.channels[index] = out_channels
        return Row(
            index=index,
            sources=sources,
            block=block,
            arguments=kind.arguments(in_channels, arguments, repeats),
            repeats=1 if kind.has_repeats else repeats,
            out_channels=out_channels,
        )

    def _scaled_width(self, arguments: Sequence[Any], where: str) -> int:
        channels = arguments[0] if arguments else None
        if not _is_int(channels) or channels < 1:
            raise ConfigError(
                f"{where}: the first argument must be the number of output channels, got {channels}"
            )
        scaled = math.ceil(channels * self.width / self.divisor) * int(self.divisor)
        if not 1 <= scaled <= MAX_CHANNELS:
            raise ConfigError(f"{where}: {scaled} channels; 1 to {MAX_CHANNELS} are built")
        return scaled

    def _check_head(self, rows: tuple[Row, ...]) -> None:
        heads = [row for row in rows if row.block in HEADS]
        if not rows or heads != [*rows[-1:]]:
            names = " or ".join(HEADS)
            raise ConfigError(f"{self.source}: the last row, and no other, must be {names}")
        num_levels = len(rows[-1].sources)
        if self.anchors is not None and len(self.anchors) != num_levels:
            where = _where(self.source, rows[-1].index, rows[-1].block)
            raise ConfigError(
                f"{where}: reads {num_levels} levels, "
                f"but anchors has {len(self.anchors)}; give one list of anchors per level"
            )


def _check_keys(mapping: Mapping[str, Any], source: str) -> None:
    for key in mapping:
        if key not in KEYS:
            hint = nearest_name(str(key), dict.fromkeys(KEYS))
            raise ConfigError(f"{source}: unknown key '{key}'; {hint}")
    traits = head_traits(mapping)
    needs_anchors = traits is not None and traits.has_anchors
    for key in ("backbone", "head", *(("anchors",) if needs_anchors else ())):
        if key not in mapping:
            raise ConfigError(f"{source}: key '{key}' is missing")
    if "anchors" in mapping and traits is not None and not traits.has_anchors:
        raise ConfigError(
            f"{source}: anchors: the head {head_name(mapping)} has none; leave the key out"
        )
    for key in ("backbone", "head"):
        if not isinstance(mapping[key], list | tuple):
            raise ConfigError(
                f"{source}: {key} must be a list of rows [from, repeats, block, args]"
            )


def _read_anchors(stated: Any, source: str) -> tuple[tuple[LevelAnchors, ...] | None, int]:
    """Return the anchors of each level, None if only counted, and their number per level."""
    if _is_int(stated) and 1 <= stated <= MAX_ANCHORS:
        return None, stated
    if not isinstance(stated, list | tuple) or not stated:
        raise ConfigError(
            f"{source}: anchors must be one list w, h, w, h, ... per level, or a number of anchors "
            f"from 1 to {MAX_ANCHORS}"
        )
    levels = tuple(_level_anchors(level, source) for level in stated)
    if len({len(level) for level in levels}) != 1:
        raise ConfigError(f"{source}: every level must have the same number of anchors")
    if len(levels[0]) > MAX_ANCHORS:
        raise ConfigError(f"{source}: {len(levels[0])} anchors a level, at most {MAX_ANCHORS} fit")
    return levels, len(levels[0])


def _level_anchors(stated: Any, source: str) -> LevelAnchors:
    sides = stated if isinstance(stated, list | tuple) else ()
    if not sides or len(sides) % 2 or not all(_is_length(side) for side in sides):
        raise ConfigError(
            f"{source}: anchors of a level must be w, h, w, h, ... in pixels above 0, got {stated}"
        )
    return tuple(zip(sides[::2], sides[1::2], strict=True))


def _where(source: str, index: int, block: Any) -> str:
    return f"{source}, row {index} ({block})"


def _is_int(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_length(value: Any) -> TypeGuard[float]:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= MAX_SIDE


def _is_share(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= 1


def _positive(value: Any, key: str, source: str) -> float:
    if not _is_length(value) or value > MAX_MULTIPLE:
        raise ConfigError(
            f"{source}: {key} must be a number above 0, got {value!r}; at most {MAX_MULTIPLE:g}"
        )
    return value
