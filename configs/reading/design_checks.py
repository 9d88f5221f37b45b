"""Checks beyond the schema of a comparison: whether arms and searches fit the experiment."""

from collections.abc import Callable, Mapping

from configs.errors import ConfigError
from configs.reading.derive import BATCH_KEY
from configs.reading.design_files import StatedDesign
from configs.reading.load import LoadedExperiment
from configs.reading.overrides import as_overrides
from configs.schema.comparison import ComparisonSettings
from configs.schema.tuning import EVERY_ARM, ListedTrials, Overrides, SearchedTrials

SET_BY_THE_DESIGN = ("train.seed", "run", "data")
"""Keys that belong to the comparison, not to an arm."""
_LENGTH = "train.epochs"


def check_arms(settings: ComparisonSettings, design: StatedDesign) -> None:
    """Raise ConfigError for arms and listed trials that set what has to be equal in all arms.

    Raises:
        ConfigError: one line that names arm, place and key.
    """
    stated = dict(settings.arms)
    if isinstance(settings.tuning, ListedTrials):
        for arm, trials in settings.tuning.trials.items():
            stated |= {f"{arm}, trial {number}": trial for number, trial in enumerate(trials)}
    for arm, overrides in stated.items():
        for key in (text.partition("=")[0] for text in as_overrides(overrides)):
            if _is_within(key, SET_BY_THE_DESIGN):
                raise ConfigError(
                    f"arms.{arm} ({design.where(('arms', arm))}) sets {key}, which has to be "
                    "the same for all arms; set it in `settings`, seeds in `seeds`"
                )


def check_batch_sizes(arms: Mapping[str, LoadedExperiment]) -> None:
    """Raise ConfigError for an arm whose batch size is measured when its runs begin.

    Raises:
        ConfigError: one line that names arm and key.
    """
    for arm, loaded in arms.items():
        if BATCH_KEY in loaded.words:
            raise ConfigError(
                f"{BATCH_KEY} is auto in arm {arm}: each run would measure its own, and runs of "
                f"other batch sizes are no pairs; set a number for all arms, {BATCH_KEY}=16"
            )


def check_search(
    settings: ComparisonSettings, design: StatedDesign, load: Callable[[str, Overrides], object]
) -> None:
    """Raise ConfigError for a search space in which an arm could not be trained.

    Every key is tried in every arm that it is searched for, at its ends or with all its choices.

    Args:
        settings: of the comparison.
        design: where they were set.
        load: makes the experiment of an arm with more settings; raises ConfigError.

    Raises:
        ConfigError: one line that names arm, place and key.
    """
    tuning = settings.tuning
    if not isinstance(tuning, SearchedTrials):
        return
    for arm in settings.arms:
        space = tuning.space_of(arm)
        for key, values in space.items():
            origin = arm if key in tuning.space.get(arm, {}) else EVERY_ARM
            place = f"tuning.space, arm {arm} ({design.where(('tuning', 'space', origin, key))})"
            _check_key(key, tuple(space), place)
            for value in values.probes:
                try:
                    load(arm, {key: value})
                except ConfigError as error:
                    first = str(error).splitlines()[0].replace(" (command line)", "")
                    raise ConfigError(f"{place}: {first}") from None


def _check_key(key: str, searched: tuple[str, ...], place: str) -> None:
    if _is_within(key, SET_BY_THE_DESIGN):
        raise ConfigError(f"{place} searches {key}, which has to be the same for all arms")
    if key == _LENGTH:
        raise ConfigError(
            f"{place} searches {key}, which trials have from tuning.epochs_share; search rates"
        )
    inner = [other for other in searched if other.startswith(key + ".")]
    if inner:
        raise ConfigError(f"{place} searches {key} and {inner[0]}, a part of it; choose one")


def _is_within(key: str, groups: tuple[str, ...]) -> bool:
    return any(key == group or key.startswith(group + ".") for group in groups)
