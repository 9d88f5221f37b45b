"""Train a detector: python train.py --cfg configs/bccd.yaml [section.key=value ...].

torch is imported only after the configuration proved right, so that help and mistakes appear at
once.
"""

from utils.runtime import starting  # isort: split

import logging

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError
from utils.runtime.screen import show


def main() -> int:
    """Read the command line, then start a training run, resume, replay or try one."""
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
        return 0
    if command.replay is not None:
        prepare_environment()
        with starting.importing():
            from commands.train.replay import replay
        replay(command.replay)
        return 0
    if command.preflight:
        with starting.importing():
            from commands.preflight.start import try_training
        result = try_training(command)
        print(result.text())
        return 0 if result.is_clear else 1
    if command.lr_range is not None:
        with starting.importing():
            from commands.lr_range.start import try_learning_rates
        show(try_learning_rates(command))
        return 0
    with starting.importing():
        from commands.train.start import start_training
    start_training(command)
    return 0


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
