"""How large a network description may be, checked before anything is built from it.

A few bytes can describe a billion blocks. The limits are several times what published networks
need.
"""

from typing import Any

from configs.errors import ConfigError

MAX_ROWS = 500
MAX_REPEATS = 500
"""Blocks of all rows together, after `depth_multiple`; published networks have up to 100."""
MAX_CHANNELS = 65_536
MAX_MULTIPLE = 1000.0
"""Of width and depth."""
MAX_PARAMETERS = 1_000_000_000
MAX_ANCHORS = 100
"""Per level."""
MAX_SIDE = 1e6
"""Of an anchor, pixels."""
MAX_CLASSES = 65_536
MAX_TEXT = 200
"""Characters of an argument."""
MAX_DEPTH = 6
"""Lists within lists."""
MAX_VALUES = 20_000
"""Numbers, texts and lists of a description."""
MAX_NUMBER = 2**31
MAX_MAP_VALUES = 2**28
"""Values of one feature map of a 1024 px image; published networks stay below 2**25."""


def check_plain(value: Any, where: str) -> None:
    """Raise ConfigError unless a description is plain data of bounded size that can be shown.

    Plain are numbers, texts, null, and lists and mappings of them; `where` begins the message.
    """
    count, depth, level = 0, 0, [value]
    while level:
        count += len(level)
        if count > MAX_VALUES:
            raise ConfigError(f"{where}: more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: lists are nested more than {MAX_DEPTH} deep")
        for item in level:
            _check_item(item, where)
        level = [child for item in level for child in _children(item)]
        depth += 1


def _children(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return [*item.keys(), *item.values()]
    return list(item) if isinstance(item, list | tuple) else []


def _check_item(item: Any, where: str) -> None:
    if isinstance(item, str):
        if len(item) > MAX_TEXT:
            raise ConfigError(f"{where}: a text has {len(item)} characters, at most {MAX_TEXT} fit")
        return
    if type(item) is int and abs(item) > MAX_NUMBER:
        raise ConfigError(f"{where}: a number has {item.bit_length()} bits; at most 31 fit")
    if not isinstance(item, int | float | dict | list | tuple | type(None)):
        raise ConfigError(f"{where}: {type(item).__name__} is not a number, text, list or null")
