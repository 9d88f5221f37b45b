"""Settings that change on resume, and those that cannot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from configs.errors import ConfigError
from configs.origins import leaves
from configs.schema import Experiment
from configs.schema.allowed import shown

FIXED: Mapping[str, str] = {
    "model.fuse": "",
    "model": "the checkpoint is of one network",
    "train.optimizer.name": "the checkpoint has the state of the old optimizer",
    "train.head_warmup": "it affects the start only",
    "data.class_names": "the checkpoint is of one list of classes",
    "run.folder": "a run is resumed in its own folder",
    "run.name": "a run is resumed in its own folder",
}
"""Keys (all below them too) that cannot change, and why; the first match counts, an empty reason
allows."""

OTHER_BATCHES = ("data", "train.batch_size")
"""Keys whose change gives an epoch other batches."""


@dataclass(frozen=True)
class Change:
    """One changed setting."""

    key: str
    old: object
    new: object

    def __str__(self) -> str:
        return f"{self.key}: {shown(self.old)} -> {shown(self.new)}"


def changes_between(old: Experiment, new: Experiment) -> list[Change]:
    """Return every setting that differs, in the order of the schema; None where it has none."""
    before, after = _flat(old), _flat(new)
    keys = dict.fromkeys((*before, *after))
    return [
        Change(key, before.get(key), after.get(key))
        for key in keys
        if before.get(key) != after.get(key)
    ]


def require_changeable(changes: Sequence[Change]) -> None:
    """Raise ConfigError, one line each, for what a resumed training cannot change."""
    faults = []
    for change in changes:
        reason = next((why for key, why in FIXED.items() if _is_below(change.key, key)), "")
        if reason:
            faults.append(f"{change} cannot be changed on resume: {reason}; start a new run")
    if faults:
        raise ConfigError("\n".join(faults))


def gives_other_batches(changes: Sequence[Change]) -> bool:
    """Tell whether the number of batches per epoch may differ from the checkpoint's."""
    return any(_is_below(change.key, key) for change in changes for key in OTHER_BATCHES)


def _flat(experiment: Experiment) -> dict[str, object]:
    settings = experiment.model_dump(mode="json")
    flat: dict[str, object] = {}
    for path in leaves(settings):
        value: object = settings
        for name in path:
            value = value[name] if isinstance(value, dict) else value
        flat[".".join(path)] = value
    return flat


def _is_below(key: str, group: str) -> bool:
    return key == group or key.startswith(f"{group}.")
