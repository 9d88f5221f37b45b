"""Reading a design: the file of a comparison -> checked settings and the experiment of each arm."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from configs.errors import ConfigError
from configs.origins import Source, display_name
from configs.reading.derive import BATCH_KEY
from configs.reading.design_checks import check_arms, check_batch_sizes, check_search
from configs.reading.design_files import StatedDesign, laid_over, read_design
from configs.reading.load import LoadedExperiment, load_experiment
from configs.reading.locate import find_yaml
from configs.reading.merge import merge_stated
from configs.reading.overrides import as_overrides, nested
from configs.reading.yaml_reader import parse_value
from configs.schema.comparison import MOST_FOLDS, ComparisonSettings
from configs.schema.tuning import UNION_TAGS, ListedTrials, Overrides

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
        """12 hex digits of a hash over all that determines the comparison and its evaluation."""
        stated = self.settings.model_dump(mode="json", include=JUDGED_BY)
        stated["arms"] = {name: loaded.hash for name, loaded in self.arms.items()}
        if self.settings.folds is not None:
            stated["folds"] = self.settings.folds
        text = json.dumps(stated, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def overrides(self, arm: str, extra: Overrides | None = None) -> tuple[str, ...]:
        """Return what train.py is told for an arm: `section.key=value` each.

        Args:
            arm: its name.
            extra: settings that go before the arm's own, such as those of a trial.
        """
        shared = merge_stated(nested(self.settings.settings), nested(self.settings.arms[arm]))
        return as_overrides(merge_stated(shared, nested(extra or {})))


ONLY_ARM = "tuned"
"""The arm of a design that states none, whose settings are searched."""


def load_design(
    path: str | Path, overrides: Sequence[str] = (), *, is_search: bool = False
) -> LoadedDesign:
    """Read a design.

    Args:
        path: The design's YAML.
        overrides: `key=value` each; keys of the design change the design, keys of the experiment
            change it for all arms.
        is_search: Of the best settings of one experiment: one arm, or none stated, and `tuning`.

    Raises:
        ConfigError: With one line for each mistake.
    """
    stated = read_design(Path(path))
    for override in overrides:
        _apply(stated.values, override)
    if is_search:
        arms = stated.values.get("arms") or {ONLY_ARM: {}}
        stated.values["arms"] = arms
        stated.values.setdefault("baseline", next(iter(arms)) if isinstance(arms, dict) else "")
    _check_number_of_arms(stated, is_search=is_search)
    settings = _validated(stated)
    source = Source(stated.where(("experiment",)), stated.experiment_folder)
    if any(override.startswith("experiment=") for override in overrides):
        source = Source(_COMMAND_LINE, Path.cwd())
    experiment = find_yaml(settings.experiment, source, "experiment")
    check_arms(settings, stated)
    design = LoadedDesign(settings, stated.path, experiment, {})
    arms = {arm: _load_arm(design, arm) for arm in settings.arms}
    _check_length(settings, stated, arms)
    check_batch_sizes(arms)

    def load(arm: str, trial: Overrides) -> LoadedExperiment:
        loaded = load_experiment(experiment, design.overrides(arm, trial))
        check_batch_sizes({arm: loaded})
        return loaded

    if isinstance(settings.tuning, ListedTrials):
        for arm, trials in settings.tuning.trials.items():
            for trial in trials:
                if any(text.startswith(f"{BATCH_KEY}=") for text in as_overrides(trial)):
                    load(arm, trial)
    check_search(settings, stated, load)
    return LoadedDesign(settings, stated.path, experiment, arms)


def _check_number_of_arms(stated: StatedDesign, *, is_search: bool) -> None:
    arms = stated.values.get("arms") or {}
    if (
        not isinstance(arms, dict)
        or not stated.values.keys() <= ComparisonSettings.model_fields.keys()
    ):
        return  # validation says it
    where = f"arms ({stated.where(('arms',))})"
    if not is_search and len(arms) < 2:
        raise ConfigError(
            f"{where}: a comparison needs two arms at least; compare.py tune --cfg DESIGN searches "
            "the settings of one"
        )
    if is_search and len(arms) > 1:
        raise ConfigError(f"{where}: compare.py tune takes one arm, not {len(arms)}")
    if is_search and stated.values.get("tuning") is None:
        raise ConfigError(f"tuning ({stated.where(())}): there is nothing to search, set it")


def _check_length(
    settings: ComparisonSettings, stated: StatedDesign, arms: Mapping[str, LoadedExperiment]
) -> None:
    unstated = [arm for arm, loaded in arms.items() if "train.epochs" in loaded.words]
    if settings.tuning is not None and unstated:
        raise ConfigError(
            f"tuning ({stated.where(('tuning',))}) trains a share of train.epochs, which is auto "
            f"in arm {unstated[0]}; set train.epochs as a number"
        )


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
    values.update(laid_over(values, stated))


def _validated(design: StatedDesign) -> ComparisonSettings:
    values = design.values
    unknown = [str(key) for key in values if key not in ComparisonSettings.model_fields]
    if unknown:
        close = get_close_matches(unknown[0], ComparisonSettings.model_fields, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "settings of the experiment go below"
        hint += "" if close else " `settings` (all arms) or an arm"
        raise ConfigError(f"unknown key '{unknown[0]}' ({design.where((unknown[0],))}); {hint}")
    for key in ("settings", "arms"):
        values[key] = values.get(key) or {}
    folds = values.get("folds")
    if isinstance(folds, int) and 0 < folds <= MOST_FOLDS:
        values["seeds"] = list(range(folds))  # in place of those of the file
    values["arms"] = {name: stated or {} for name, stated in values["arms"].items()}
    try:
        return ComparisonSettings.model_validate_json(json.dumps(values))
    except ValidationError as error:
        lines = [_sentence(detail, design) for detail in error.errors(include_url=False)]
        raise ConfigError("\n".join(dict.fromkeys(lines))) from None


def _sentence(detail: Any, design: StatedDesign) -> str:
    path = tuple(str(part) for part in detail["loc"] if part not in UNION_TAGS)
    where = design.where(path)
    if detail["type"] == "value_error":
        problem = str(detail["ctx"]["error"])
        return f"{'.'.join(path)} ({where}): {problem}" if path else f"{problem} ({where})"
    if detail["type"] == "extra_forbidden":
        return f"unknown key '{'.'.join(path)}' ({where}); compare.py --help lists all keys"
    return f"{'.'.join(path)} ({where}): {detail['msg'][0].lower()}{detail['msg'][1:]}"


def _load_arm(design: LoadedDesign, arm: str) -> LoadedExperiment:
    try:
        return load_experiment(design.experiment_path, design.overrides(arm))
    except ConfigError as error:
        text = str(error).replace("(command line)", f"(arm {arm} of {display_name(design.path)})")
        raise ConfigError(text) from None
