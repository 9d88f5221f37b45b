"""Parts of a network's training that are the user's own, by the names that settings give them.

Whoever builds a training imports them (`commands/build/criterion.py`): nothing here imports what a
file names.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from torch import nn

from configs.errors import ConfigError
from configs.heads import HEAD_TRAITS, HeadTraits
from models.blocks import BLOCKS, Block, Channels
from models.heads import HEADS, DetectionHead

CHANNELS = get_args(Channels)
CUSTOM: dict[str, Callable[..., Any]] = {}
"""Name of an object -> the object."""


def built(name: str, arguments: Mapping[str, Any]) -> Any:
    """Return what the object `name` makes of `arguments`.

    Raises:
        ConfigError: it is not known, or cannot be built.
    """
    if name not in CUSTOM:
        raise ConfigError(f"{name}: an object of your own is imported by a training alone")
    try:
        return CUSTOM[name](**arguments)
    except Exception as error:  # whatever the user's program does
        said = " ".join(str(error).split())
        raise ConfigError(f"{name} cannot be built: {type(error).__name__}: {said}") from error


def own_names(graph: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of blocks and heads in a graph that are no shipped ones but could be objects
    of a module, as in my_module.MyBlock; each once.
    """
    seen = {*BLOCKS, *HEADS}
    for key in ("backbone", "head"):
        rows = graph.get(key)
        for row in rows if isinstance(rows, list | tuple) else ():
            name = row[2] if isinstance(row, list | tuple) and len(row) == 4 else None
            if isinstance(name, str) and "." in name and name not in seen:
                seen.add(name)
                yield name


def add_to_tables(name: str, kind: Any) -> None:
    """Make a block or a head of the user's own one that graphs may name `name`.

    A head is a `DetectionHead` with `traits`. Any other module is a block; its class may say
    `channels` and `has_repeats` as `Block` does, else the graph's first argument is its number of
    output channels and it is built with input channels, output channels and the other arguments.

    Raises:
        ConfigError: it is neither.
    """
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        raise ConfigError(f"{name} is no block or head: it must be a class of torch.nn.Module")
    if not issubclass(kind, DetectionHead):
        channels: Any = getattr(kind, "channels", "scaled")
        if channels not in CHANNELS:
            raise ConfigError(f"{name}.channels is {channels!r}; must be one of {CHANNELS}")
        has_repeats = bool(getattr(kind, "has_repeats", False))
        BLOCKS[name] = Block(build=kind, channels=channels, has_repeats=has_repeats)
        return
    traits = getattr(kind, "traits", None)
    if not isinstance(traits, HeadTraits):
        raise ConfigError(
            f"{name} needs traits = HeadTraits(has_objectness=..., has_anchors=...), "
            "from configs.heads"
        )
    HEADS[name], HEAD_TRAITS[name] = kind, traits
