"""Help text of the settings: every key with its meaning, range and default."""

import argparse
import textwrap
from collections.abc import Iterator
from contextlib import suppress

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from configs.errors import ConfigError
from configs.schema.allowed import allowed, shown
from configs.schema.keys import ROOT, Group, all_keys, nearest_key
from configs.schema.known_words import hint_for
from configs.schema.settings import Settings

WIDTH = 92
"""Columns of the help."""
_INDENT = " " * 6


class SettingsHelp(argparse.RawDescriptionHelpFormatter):
    """Layout of `--help` for entry points: as wide as the settings, paragraphs kept."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=WIDTH)


def settings_help(sections: tuple[str, ...] = ()) -> str:
    """Return all keys of the given sections, of all where none is given."""
    names = [name for name in ROOT.key_names if not sections or name in sections]
    return "\n\n".join("\n".join(_section(name)) for name in names)


ALL = "all"
"""The topic that stands for every section."""


def sections_overview(sections: tuple[str, ...] = ()) -> str:
    """Return a line for each section: its name, what it is, how many keys it has."""
    names = [name for name in ROOT.key_names if not sections or name in sections]
    lines = []
    for name in names:
        count = sum(key.startswith(f"{name}.") for key in all_keys())
        keys = f"; {count} keys" if count else ""
        lines += textwrap.wrap(
            f"{name:<8} {_text(ROOT.fields(name)[0]).rstrip('.')}{keys}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent=" " * 11,
        )
    return "\n".join(lines)


def topic_help(topic: str, sections: tuple[str, ...] = ()) -> str:
    """Return the keys of a topic: all, a section, a group such as train.optimizer, or one key.

    Raises:
        ConfigError: there is no such topic; names the nearest one, or what a word of another
            detector is here.
    """
    if topic == ALL:
        return settings_help(sections)
    group = ROOT
    *above, last = topic.split(".")
    for name in above:
        below = group.child(name)
        if below is None:
            raise ConfigError(_unknown(topic))
        group = below
    if last not in group.key_names:
        raise ConfigError(_unknown(topic))
    prefix = "".join(f"{name}." for name in above)
    if not above:
        return "\n".join(_section(last))
    model = next(model for model in group.variants if last in model.model_fields)
    return "\n".join(_key(model, last, prefix, _defaults(group), {}))


def _defaults(group: Group) -> object:
    start = group.default_variant()
    with suppress(ValidationError):  # some keys have to be stated
        return start() if start is not None else None
    return None


def _unknown(topic: str) -> str:
    known, nearest = hint_for(topic.rpartition(".")[2]), nearest_key(topic)
    hint = f"did you mean --help {nearest}? " if nearest else ""
    hint = f"here that is {known}; " if known is not None else hint
    return f"--help {topic}: no section or key of this name; {hint}--help {ALL} lists every key"


def _section(name: str) -> Iterator[str]:
    info, group = ROOT.fields(name)[0], ROOT.child(name)
    yield from textwrap.wrap(f"{name}: {_text(info)}", WIDTH, subsequent_indent="  ")
    if group is not None:
        yield from _group(group, f"{name}.", info.default, {})


def _group(
    group: Group, prefix: str, default: object, seen: dict[tuple[type[Settings], ...], str]
) -> Iterator[str]:
    """Yield the keys of a group; what a choice of variants shares comes first."""
    variants = group.variants
    shared = [k for k in group.key_names if all(_same(group, k, model) for model in variants)]
    if group.discriminator is not None:
        yield from _choice(group, prefix, default)
    for name in shared:
        yield from _key(group.variants[0], name, prefix, default, seen)
    if len(variants) == 1:
        return
    if variants in seen:
        yield f"  other keys as {seen[variants]}"
        return
    seen[variants] = prefix.rstrip(".")
    for model in variants:
        own = [k for k in model.model_fields if k not in shared and k != group.discriminator]
        if own:
            tags = " or ".join(group.tags(model))
            yield from textwrap.wrap(
                f"with {prefix}{group.discriminator} {tags}:",
                WIDTH,
                initial_indent="  ",
                subsequent_indent=_INDENT,
            )
        for name in own:
            yield from ("  " + line for line in _key(model, name, prefix, default, seen))


def _same(group: Group, key: str, model: type[Settings]) -> bool:
    """Tell whether a variant describes a key just as the first one does."""
    ours, first = model.model_fields.get(key), group.variants[0].model_fields.get(key)
    return (
        ours is not None
        and first is not None
        and key != group.discriminator
        and (ours.annotation, ours.default, ours.description, str(ours.metadata))
        == (first.annotation, first.default, first.description, str(first.metadata))
    )


def _choice(group: Group, prefix: str, default: object) -> Iterator[str]:
    name = group.discriminator or ""
    start = group.default_variant()
    chosen = getattr(default, name, start.model_fields[name].default if start else None)
    tags = [tag for model in group.variants for tag in group.tags(model)]
    yield from _head(f"{prefix}{name}", f"one of {', '.join(tags)}", _default(chosen))
    for model in group.variants:
        meaning = f"{', '.join(group.tags(model))}: {_sentence(model.__doc__ or '')}"
        yield from _wrap(meaning)


def _key(
    model: type[Settings],
    name: str,
    prefix: str,
    default: object,
    seen: dict[tuple[type[Settings], ...], str],
) -> Iterator[str]:
    info = model.model_fields[name]
    below = Group((model,)).child(name)
    inherited = getattr(default, name, info.default) if isinstance(default, model) else info.default
    if below is None:
        stands = "required" if info.is_required() else _default(inherited)
        yield from _head(f"{prefix}{name}", allowed(info), stands)
        yield from _wrap(_text(info))
    elif len(below.variants) == 1 and below.variants in seen:
        yield from _head(f"{prefix}{name}", f"keys as {seen[below.variants]}", _stands(info))
        yield from _wrap(_text(info))
    else:
        yield from _head(f"{prefix}{name}", "keys below", _stands(info))
        yield from _wrap(_text(info))
        if len(below.variants) == 1:
            seen[below.variants] = f"{prefix}{name}"
        yield from _group(below, f"{prefix}{name}.", inherited, seen)


def _stands(info: FieldInfo) -> str:
    """Return whether a group is required, in words."""
    if info.is_required():
        return "required"
    return "default null" if info.default is None else ""


def _default(value: object) -> str:
    return f"default {value if isinstance(value, str) else shown(value)}"


def _head(key: str, holds: str, stands: str) -> Iterator[str]:
    yield from textwrap.wrap(
        f"{key}  {holds}; {stands}" if stands else f"{key}  {holds}",
        WIDTH,
        initial_indent="  ",
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)


def _text(info: FieldInfo) -> str:
    return _sentence(info.description or "")


def _sentence(text: str) -> str:
    return " ".join(text.split())
