"""Reading a design: the file of a comparison -> checked settings and the experiment of each arm."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.errors import ConfigError
from configs.load import LoadedExperiment, load_experiment
from configs.locate import find_yaml
from configs.schema.comparison import ComparisonSettings, Overrides
from configs.sources import KeyPath, Source, display_name
from configs.yaml_reader import Document, parse_value, read_yaml

SET_BY_THE_DESIGN = ("train.seed", "run", "data")
"""Keys that are the comparison's own business and no arm's."""
JUDGED_BY = {"baseline", "tuning", "test", "pairing"}
"""Keys that decide how arms are compared; not seeds: more of them continue a comparison."""
_COMMAND_LINE = "command line"


@dataclass(frozen=True)
class LoadedDesign:
    """A checked design."""

    settings: ComparisonSettings
    path: Path
    """The design file."""
    experiment_path: Path
    """The experiment that all arms share."""
    arms: Mapping[str, LoadedExperiment]
    """The experiment of each arm, at its default seed."""

    @property
    def name(self) -> str:
        """Name of the comparison's folder."""
        return self.settings.name or f"{self.path.stem}-{self.hash[:8]}"

    @property
    def hash(self) -> str:
        """12 hex digits over all that decides what is compared and how it is judged."""
        stated = self.settings.model_dump(mode="json", include=JUDGED_BY)
        stated["arms"] = {name: loaded.hash for name, loaded in self.arms.items()}
        text = json.dumps(stated, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def overrides(self, arm: str, extra: Overrides | None = None) -> tuple[str, ...]:
        """Return what train.py is told for an arm: `section.key=value` each.

        Args:
            arm: its name.
            extra: settings that go before the arm's own, such as those of a trial.
        """
        merged = _merged(_merged(self.settings.settings, self.settings.arms[arm]), extra or {})
        return as_overrides(merged)


def load_design(path: str | Path, overrides: Sequence[str] = ()) -> LoadedDesign:
    """Read a design.

    Args:
        path: The design's YAML.
        overrides: `key=value` each; keys of the design change the design, keys of the experiment
            change it for all arms.

    Raises:
        ConfigError: With one line for each mistake.
    """
    document = read_yaml(Path(path))
    values = dict(document.values)
    for override in overrides:
        _apply(values, override)
    settings = _validated(values, document)
    source = Source(display_name(document.path), document.path.resolve().parent)
    line = document.lines.get(("experiment",))
    experiment = find_yaml(settings.experiment, source.at(line), "experiment")
    _check_arms(settings, document)
    design = LoadedDesign(settings, document.path, experiment, {})
    return LoadedDesign(
        settings, document.path, experiment, {arm: _load_arm(design, arm) for arm in settings.arms}
    )


def as_overrides(settings: Overrides) -> tuple[str, ...]:
    """Return nested settings as `section.key=value`, values in JSON, which is YAML too."""
    return tuple(
        f"{'.'.join(path)}={json.dumps(value)}"
        for path, value in _leaves(nested(settings), ())
        if path
    )


def nested(settings: Overrides) -> Overrides:
    """Return settings with `a.b: 1` written as `a: {b: 1}`; later keys go before earlier ones."""
    result: Overrides = {}
    for key, value in settings.items():
        *groups, name = str(key).split(".")
        inner: Any = nested(value) if isinstance(value, dict) else value
        stated: Overrides = {name: inner}
        for group in reversed(groups):
            stated = {group: stated}
        result = _merged(result, stated)
    return result


def _merged(lower: Overrides, upper: Overrides) -> Overrides:
    lower, upper = dict(lower), dict(upper)
    for key, value in upper.items():
        known = lower.get(key)
        if isinstance(known, dict) and isinstance(value, dict) and _same_variant(known, value):
            value = _merged(known, value)
        lower[key] = value
    return lower


def _same_variant(known: Overrides, value: Overrides) -> bool:
    """Another variant, `name: focal` over `name: bce`, must not inherit the first one's keys."""
    return bool(value.get("name", known.get("name")) == known.get("name"))


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    else:
        yield path, value


def _apply(values: Overrides, override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        raise ConfigError(f"{override!r} ({_COMMAND_LINE}) must read section.key=value")
    try:
        value = parse_value(text)
    except ConfigError as error:
        raise ConfigError(f"{key} ({_COMMAND_LINE}): {error}") from None
    stated: Overrides = nested({key: value})
    if key.split(".")[0] not in ComparisonSettings.model_fields:
        stated = {"settings": stated}
        values["settings"] = nested(values.get("settings") or {})
    merged = _merged(values, stated)
    values.update(merged)


def _validated(values: Overrides, document: Document) -> ComparisonSettings:
    unknown = [str(key) for key in values if key not in ComparisonSettings.model_fields]
    if unknown:
        close = get_close_matches(unknown[0], ComparisonSettings.model_fields, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "settings of the experiment go below"
        hint += "" if close else " `settings` (all arms) or an arm"
        raise ConfigError(f"unknown key '{unknown[0]}' ({_where(document, (unknown[0],))}); {hint}")
    for key in ("settings", "arms"):
        values[key] = values.get(key) or {}
    values["arms"] = {name: stated or {} for name, stated in values["arms"].items()}
    try:
        return ComparisonSettings.model_validate_json(json.dumps(values))
    except ValidationError as error:
        lines = [_sentence(detail, document) for detail in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def _sentence(detail: Any, document: Document) -> str:
    path = tuple(str(part) for part in detail["loc"])
    where = _where(document, path)
    if detail["type"] == "value_error":
        return f"{detail['ctx']['error']} ({where})"
    if detail["type"] == "extra_forbidden":
        return f"unknown key '{'.'.join(path)}' ({where}); compare.py --help lists all keys"
    return f"{'.'.join(path)} ({where}): {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _where(document: Document, path: KeyPath) -> str:
    while path and path not in document.lines:
        path = path[:-1]
    name = display_name(document.path)
    return f"{name}:{document.lines[path]}" if path else name


def _check_arms(settings: ComparisonSettings, document: Document) -> None:
    stated = dict(settings.arms)
    if settings.tuning is not None:
        for arm, trials in settings.tuning.trials.items():
            stated |= {f"{arm}, trial {number}": trial for number, trial in enumerate(trials)}
    for arm, overrides in stated.items():
        for key in (text.partition("=")[0] for text in as_overrides(overrides)):
            if any(key == own or key.startswith(own + ".") for own in SET_BY_THE_DESIGN):
                raise ConfigError(
                    f"arms.{arm} ({_where(document, ('arms', arm))}) sets {key}, which has to be "
                    "the same for all arms; state it in `settings`, seeds in `seeds`"
                )


def _load_arm(design: LoadedDesign, arm: str) -> LoadedExperiment:
    try:
        return load_experiment(design.experiment_path, design.overrides(arm))
    except ConfigError as error:
        text = str(error).replace("(command line)", f"(arm {arm} of {display_name(design.path)})")
        raise ConfigError(text) from None
