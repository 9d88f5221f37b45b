"""The schema as a tree of keys, and the closest key to a typo."""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from functools import lru_cache
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from configs.origins import KeyPath
from configs.schema import Experiment
from configs.schema.settings import Settings


@dataclass(frozen=True)
class Group:
    """Keys that belong together: one model, or several of which the discriminator key picks one."""

    variants: tuple[type[Settings], ...]
    discriminator: str | None = None
    optional: bool = False
    """null is a value of its own."""

    @property
    def key_names(self) -> list[str]:
        """All keys of all variants, in order."""
        return list(dict.fromkeys(k for model in self.variants for k in model.model_fields))

    def tags(self, model: type[Settings]) -> tuple[str, ...]:
        """Values of the discriminator that pick `model`."""
        if self.discriminator is None:
            return ()
        return tuple(get_args(model.model_fields[self.discriminator].annotation))

    def variant(self, tag: object) -> type[Settings] | None:
        """Return the model that `tag` picks, None where there is none."""
        if self.discriminator is None:
            return self.variants[0]
        return next((model for model in self.variants if tag in self.tags(model)), None)

    def default_variant(self) -> type[Settings] | None:
        """Return the default variant, used when the discriminator is not set."""
        if self.discriminator is None:
            return self.variants[0]
        stated = (m for m in self.variants if not m.model_fields[self.discriminator].is_required())
        return next(stated, None) if len(self.variants) > 1 else self.variants[0]

    def fields(self, name: str) -> list[FieldInfo]:
        """Return the field `name` of every variant that has it."""
        return [m.model_fields[name] for m in self.variants if name in m.model_fields]

    def child(self, name: str) -> "Group | None":
        """Return the group below `name`, over all variants; None where `name` contains a value."""
        below = [group for info in self.fields(name) if (group := group_of(info)) is not None]
        if not below:
            return None
        return Group(
            variants=tuple(dict.fromkeys(model for group in below for model in group.variants)),
            discriminator=below[0].discriminator,
            optional=any(g.optional for g in below) or len(below) < len(self.fields(name)),
        )


def group_of(info: FieldInfo) -> Group | None:
    """Return the group of keys of a field, None for a field that contains a value."""
    models = tuple(_models_in(info.annotation))
    if not models:
        return None
    discriminator = info.discriminator if isinstance(info.discriminator, str) else None
    return Group(models, discriminator, optional=type(None) in get_args(info.annotation))


def _models_in(annotation: Any) -> Iterator[type[Settings]]:
    if get_origin(annotation) is None:
        if isinstance(annotation, type) and issubclass(annotation, Settings):
            yield annotation
    elif get_origin(annotation) not in (tuple, list, dict, Literal):
        for part in get_args(annotation):
            yield from _models_in(part)


ROOT = Group(variants=(Experiment,))


@lru_cache(maxsize=1)
def all_keys() -> tuple[str, ...]:
    """Every dotted key of the schema that contains a value or a group, in schema order."""
    return tuple(dict.fromkeys(_walk(ROOT, "")))


def _walk(group: Group, prefix: str) -> Iterator[str]:
    for name in group.key_names:
        yield prefix + name
        below = group.child(name)
        if below is not None:
            yield from _walk(below, f"{prefix}{name}.")


def nearest_key(key: str) -> str | None:
    """Return the valid dotted key closest to `key`; its groups may be missing or wrong."""
    last = key.rpartition(".")[2]
    known = [name for name in all_keys() if not key.startswith(name + ".")]
    same_last = [name for name in known if name.rpartition(".")[2] == last]
    if same_last and "." not in key:
        # If several groups have the name, a loss is most likely meant.
        return next((name for name in same_last if ".assigner." not in name), same_last[0])
    if same_last:
        return max(same_last, key=lambda name: SequenceMatcher(None, name, key).ratio())
    close = get_close_matches(key, known, n=1, cutoff=0.75)
    if close:
        return close[0]
    by_last = {name.rpartition(".")[2]: name for name in reversed(known)}
    similar = get_close_matches(last, by_last, n=1, cutoff=0.75)
    longer = [name for name in by_last if name.startswith(last + "_")]
    return by_last[(similar or longer)[0]] if similar or longer else None


def dotted(path: KeyPath) -> str:
    """Return the key as on the command line."""
    return ".".join(path)
