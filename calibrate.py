"""Scores that say how often they are right: python calibrate.py --weights best.safetensors."""

from utils.runtime import starting  # isort: split

import logging

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError


def main() -> None:
    """Read the command line, fit, name the new file."""
    with starting.importing():
        from commands.calibrate.cli import parse_calibrate_command
        from utils.runtime.machine.threads import prepare_environment
        from utils.runtime.progress import start_logging
    command = parse_calibrate_command()
    start_logging()
    prepare_environment()
    with starting.importing():
        from commands.calibrate.run import calibrate
    for line in calibrate(command).lines():
        logging.info("%s", line)
    logging.info("written: %s", command.out)


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
