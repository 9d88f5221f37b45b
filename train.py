"""Train a detector: python train.py --cfg configs/bccd.yaml [section.key=value ...].

torch is imported only after the configuration proved right, so that help and mistakes appear at
once.
"""

import logging

from configs.changes import Change, changes_between, require_changeable
from configs.errors import ConfigError
from configs.load import LoadedExperiment, load_experiment
from configs.train_cli import TrainCommand, parse_train_command
from utils.runtime.command import run_command
from utils.runtime.errors import UserError
from utils.runtime.progress import start_logging
from utils.runtime.threads import prepare_environment


def main() -> None:
    """Read the command line, then start a training, go on with one or look into one."""
    command = parse_train_command()
    start_logging()
    if command.verify_resume:
        from assembly.resume_check import verify_resume

        logging.info(verify_resume(command.cfg, command.overrides))
        return
    if command.replay is not None:
        prepare_environment()
        from assembly.replay import replay

        replay(command.replay)
        return
    loaded, changes = load(command)
    for note in loaded.notes:
        logging.info(note)
    prepare_environment()
    from assembly.training import open_report, train
    from utils.runtime.run_folder import open_run_folder

    resumed = None if command.resume is None else open_run_folder(command.resume)
    folder = train(loaded, resume=resumed, changes=changes)
    if command.open_report:
        open_report(folder)


def load(command: TrainCommand) -> tuple[LoadedExperiment, list[Change]]:
    """Return the configuration, of the run that is resumed or of --cfg, and what is new in it."""
    if command.resume is None:
        return load_experiment(command.cfg, command.overrides), []
    config = command.resume / "config.yaml"
    if not config.is_file():
        raise UserError(f"{command.resume} is not the folder of a run: it holds no config.yaml")
    before, after = load_experiment(config), load_experiment(config, command.overrides)
    changes = changes_between(before.experiment, after.experiment)
    require_changeable(changes)
    return after, changes


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
