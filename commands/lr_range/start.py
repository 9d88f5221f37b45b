"""From a command line of train.py to a learning-rate range test; torch comes after the settings
proved right.
"""

from commands.train.cli import TrainCommand
from commands.train.start import load_for_trial


def try_learning_rates(command: TrainCommand) -> str:
    """Run the range test of `command`; return what it found, in a few lines.

    Raises:
        UserError, ConfigError: something the user can fix.
    """
    loaded = load_for_trial(command)
    from commands.lr_range.run import lr_range

    return lr_range(loaded, command.lr_range or None)
