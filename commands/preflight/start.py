"""From a command line of train.py to a preflight; torch comes after the settings proved right."""

import logging
from typing import TYPE_CHECKING

from commands.train.cli import TrainCommand
from commands.train.start import load, look_at_data
from utils.runtime.machine.device_names import require_one_process_a_device
from utils.runtime.machine.threads import prepare_environment

if TYPE_CHECKING:
    from commands.preflight.findings import Preflight


def try_training(command: TrainCommand) -> "Preflight":
    """Try everything that a training of `command` does; return what was found.

    Raises:
        UserError, ConfigError: the configuration or the data cannot be read at all.
    """
    loaded, _ = load(command)
    for note in loaded.notes:
        logging.info(note)
    prepare_environment()
    require_one_process_a_device(loaded.experiment.train.device)
    loaded = look_at_data(loaded, command)
    from commands.preflight.run import preflight

    return preflight(loaded)
