"""What importers share: names by rules, counters of norms, the classes of the rows."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from configs.errors import ConfigError

Rules = Sequence[tuple[str, str]]
"""(pattern, replacement) of `re.sub`."""


def renamed(name: str, rows: Mapping[str, str], inner: Rules) -> str | None:
    """Return the name of an entry in our graph, None where no row has its prefix.

    Args:
        name: as the file has it.
        rows: prefix of a module there -> prefix here; the longest that fits counts.
        inner: rules for what follows the prefix, applied in order.
    """
    fitting = [prefix for prefix in rows if name.startswith(f"{prefix}.")]
    if not fitting:
        return None
    prefix = max(fitting, key=len)
    rest = name[len(prefix) :]
    for pattern, replacement in inner:
        rest = re.sub(pattern, replacement, rest)
    return rows[prefix] + rest


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the entries whose names start so, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def as_float(tensor: Tensor) -> Tensor:
    """Return float32 of half precision, other types as they are."""
    return tensor.float() if tensor.is_floating_point() else tensor


def only(entry: str, tensors: Mapping[str, Tensor], dimensions: int) -> Tensor:
    """Return an entry that an importer cannot do without, as float32.

    Raises:
        ConfigError: it is missing or has another number of dimensions.
    """
    tensor = tensors.get(entry)
    if tensor is None or tensor.ndim != dimensions or not tensor.is_floating_point():
        found = "it is missing" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
        raise ConfigError(f"{entry}: {found}, {dimensions} dimensions of numbers were expected")
    return tensor.to(torch.float32)


def classes_of(
    num_classes: int, stated: Sequence[str] | None, usual: Sequence[str]
) -> tuple[str, ...]:
    """Return names for class rows: those of the file, the usual ones, or numbers.

    Args:
        num_classes: rows.
        stated: names that the file gives, if any.
        usual: names of the data that the project publishes weights of.

    Raises:
        ConfigError: there is no row.
    """
    if num_classes < 1:
        raise ConfigError("the head has no row for a class")
    for names in (stated, usual):
        if names is not None and len(names) == num_classes:
            return tuple(names)
    return tuple(f"class {index}" for index in range(num_classes))
