"""The shipped experiment for a data set that is given without one."""

from collections.abc import Sequence
from pathlib import Path

from configs.origins import CONFIGS_FOLDER

FINE_TUNE = "finetune.yaml"
FROM_SCRATCH = "from_scratch.yaml"


def choose_recipe(overrides: Sequence[str]) -> Path:
    """Return the experiment for settings of a command line that names none.

    Args:
        overrides: `section.key=value` settings.
    """
    has_weights = any(
        text.startswith("model.weights=") and text.partition("=")[2] not in ("", "null", "~")
        for text in overrides
    )
    return CONFIGS_FOLDER / (FINE_TUNE if has_weights else FROM_SCRATCH)


def names_data(overrides: Sequence[str]) -> bool:
    """Tell whether settings name a data set."""
    return any(text.startswith(("data=", "data.path=")) for text in overrides)
