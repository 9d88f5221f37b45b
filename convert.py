"""Rewrite or fetch: python convert.py --weights n.pt | --get NAME | --data my.yaml --to coco."""

from utils.runtime import starting  # isort: split

import logging

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError
from utils.runtime.screen import show


def main() -> None:
    """Read the command line, convert or fetch, name the new file."""
    with starting.importing():
        from commands.convert.cli import parse_convert_command
        from utils.runtime.machine.threads import prepare_environment
        from utils.runtime.progress import start_logging
    command = parse_convert_command()
    start_logging()
    prepare_environment()
    if command.list:
        with starting.importing():
            from commands.weights_by_name import list_weights
        show("\n".join(list_weights()))
        return
    if command.get is not None:
        with starting.importing():
            from commands.convert.fetch import fetch_weights
        show("\n".join(fetch_weights(command)))
        return
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
