"""From a command line of train.py to a preflight; torch comes after the settings proved right."""

from typing import TYPE_CHECKING

from commands.train.cli import TrainCommand
from commands.train.start import load_for_trial

if TYPE_CHECKING:
    from commands.preflight.findings import Preflight


def try_training(command: TrainCommand) -> "Preflight":
    """Try everything that a training of `command` does; return what was found.

    Raises:
        UserError, ConfigError: the configuration or the data cannot be read at all.
    """
    loaded = load_for_trial(command)
    from commands.preflight.run import preflight

    return preflight(loaded)
