"""Rewrite weights or data: python convert.py --weights n.pt | --data my.yaml --to coco --out B."""

from utils.runtime import starting  # isort: split

import logging

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError


def main() -> None:
    """Read the command line, convert, name the new file."""
    with starting.importing():
        from commands.convert.cli import parse_convert_command
        from utils.runtime.machine.threads import prepare_environment
        from utils.runtime.progress import start_logging
    command = parse_convert_command()
    start_logging()
    prepare_environment()
    if command.weights is None:
        with starting.importing():
            from commands.convert.data import convert_data
        logging.info("written: %s", convert_data(command))
        return
    with starting.importing():
        from commands.convert.run import convert
    logging.info("written: %s", convert(command.weights, command.out))


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
