"""Train a detector: python train.py --cfg configs/bccd.yaml [section.key=value ...].

torch is imported only after the configuration proved right, so that help and mistakes appear at
once.
"""

from utils.runtime import starting  # isort: split

import logging

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError


def main() -> None:
    """Read the command line, then start a training, go on with one or look into one."""
    with starting.importing():
        from commands.train.cli import parse_train_command
        from utils.runtime.machine.threads import prepare_environment
        from utils.runtime.progress import start_logging
    command = parse_train_command()
    start_logging()
    if command.verify_resume:
        with starting.importing():
            from commands.train.resume_check import verify_resume
        logging.info(verify_resume(command.cfg, command.overrides))
        return
    if command.replay is not None:
        prepare_environment()
        with starting.importing():
            from commands.train.replay import replay
        replay(command.replay)
        return
    with starting.importing():
        from commands.train.start import start_training
    start_training(command)


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
