"""Check a data set: python check_data.py my.yaml [--page check.html] [--fix FOLDER]; or try a
training on it: python check_data.py --run my.yaml [section.key=value ...].
"""

from utils.runtime import starting  # isort: split

import sys

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError


def main() -> int:
    """Read the command line, check, return 0 for sound data and 1 for findings."""
    with starting.importing():
        from commands.check_data.cli import parse_check_command, trial_arguments
        from utils.runtime.machine.threads import prepare_environment
        from utils.runtime.progress import start_logging
    if "--run" in sys.argv[1:]:
        with starting.importing():
            from commands.preflight.start import try_training
            from commands.train.cli import parse_train_command
        trial = parse_train_command(trial_arguments(sys.argv[1:]))
        start_logging()
        result = try_training(trial)
        print(result.text())
        return 0 if result.is_clear else 1
    command = parse_check_command()
    start_logging()
    prepare_environment()
    if command.list or command.get is not None:
        with starting.importing():
            from commands.check_data.fetch import fetch_data, list_public_data
        print("\n".join(list_public_data() if command.list else fetch_data(command)))
        return 0
    with starting.importing():
        from commands.check_data.run import check_data
    checked = check_data(command)
    print("\n".join(checked.lines))
    return checked.code


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
