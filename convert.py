"""Rewrite or fetch: python convert.py --weights n.pt | --get NAME | --data my.yaml --to coco."""

import logging

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError
from utils.runtime.screen import show


def main() -> None:
    """Read the command line, convert or fetch, name the new file."""
    from commands.convert.cli import parse_convert_command
    from utils.runtime.machine.threads import prepare_environment
    from utils.runtime.progress import start_logging

    command = parse_convert_command()
    start_logging()
    prepare_environment()
    if command.list:
        from commands.weights_by_name import list_weights

        show("\n".join(list_weights()))
        return
    if command.get is not None:
        from commands.convert.fetch import fetch_weights

        show("\n".join(fetch_weights(command)))
        return
    if command.weights is None:
        from commands.convert.data import convert_data

        logging.info("written: %s", convert_data(command))
        return
    from commands.convert.run import convert

    logging.info("written: %s", convert(command.weights, command.out))


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
