"""Naming parts of a network: `backbone`, rows such as `0-9` or `model.3`, globs over names."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from configs.errors import ConfigError
from models.detector import Detector

_ROWS = re.compile(r"(?:model\.)?(\d+)(?:-(\d+))?")


def parts(detector: Detector) -> dict[str, range]:
    """Return the rows of the parts that have a name; the neck is what is between the others."""
    first, last = len(detector.mapping["backbone"]), len(detector.model) - 1
    return {
        "backbone": range(first),
        "neck": range(first, last),
        "head": range(last, last + 1),
    }


def select(detector: Detector, pattern: str, *, key: str) -> frozenset[str]:
    """Return the names of all entries of the detector's state that a pattern means.

    Args:
        detector: whose names count.
        pattern: a part (`backbone`, `neck`, `head`), rows (`3`, `0-9`, `model.0-9`), or a glob over
            names (`model.24.*`, `*.bn.*`), in which the name of a module means all below it.
        key: the setting that contains the pattern, for messages.

    Raises:
        ConfigError: no parameter is meant; names what is nearest.
    """
    rows = _rows(detector, pattern)
    if rows is None:
        chosen = [name for name in detector.state_dict() if _fits(name, pattern)]
    else:
        chosen = [name for name in detector.state_dict() if int(name.split(".")[1]) in rows]
    parameters = dict(detector.named_parameters())
    if not any(name in parameters for name in chosen):
        raise ConfigError(f"{key}: {pattern!r} names no parameter; {_hint(detector, pattern)}")
    return frozenset(chosen)


def frozen_names(detector: Detector, patterns: Sequence[str], *, key: str) -> frozenset[str]:
    """Return the names of all entries that any pattern means.

    Raises:
        ConfigError: a pattern means nothing, or nothing is left to learn.
    """
    frozen = frozenset[str]().union(*(select(detector, p, key=key) for p in patterns))
    if all(name in frozen for name, _ in detector.named_parameters()):
        raise ConfigError(f"{key}: {', '.join(patterns)} leave no parameter to learn")
    return frozen


def learning_factors(
    detector: Detector,
    factors: Sequence[tuple[str, float]],
    frozen: frozenset[str],
    *,
    key: str,
) -> dict[str, float]:
    """Return the factor of the learning rate by parameter name; those that are 1 are left out.

    Args:
        detector: whose names count.
        factors: pattern and factor; where several mean one parameter, the last one holds.
        frozen: names of what does not learn.
        key: the setting that contains the patterns, for messages.

    Raises:
        ConfigError: a pattern means nothing, or only what is frozen.
    """
    parameters = dict(detector.named_parameters())
    found: dict[str, float] = {}
    for pattern, factor in factors:
        learning = (select(detector, pattern, key=key) & parameters.keys()) - frozen
        if not learning:
            raise ConfigError(f"{key}: {pattern!r} has no effect, all it names is frozen")
        found.update(dict.fromkeys(learning, factor))
    return {name: factor for name, factor in found.items() if factor != 1}


def _rows(detector: Detector, pattern: str) -> range | None:
    """Return the rows a pattern means by part or number, None where it is a glob."""
    named = parts(detector).get(pattern)
    match = _ROWS.fullmatch(pattern)
    if named is not None or match is None:
        return named
    first = int(match[1])
    return range(first, (int(match[2]) if match[2] else first) + 1)


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def _hint(detector: Detector, pattern: str) -> str:
    if _ROWS.fullmatch(pattern):
        return f"rows run from 0 to {len(detector.model) - 1}"
    parameters = [name for name, _ in detector.named_parameters()]
    modules = {name.rpartition(".")[0] for name in parameters}
    known = [*parts(detector), *sorted(modules), *parameters]
    nearest = get_close_matches(pattern, known, n=1, cutoff=0)
    return f"did you mean {nearest[0]!r}?"
