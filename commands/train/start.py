"""Start train.py: configuration, data, then the training run.

torch is imported only after the configuration is checked, so that errors appear at once.
"""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from commands.build.weights_size import with_size_of_weights
from commands.train.cli import TrainCommand
from commands.weights_by_name import require_weights
from configs.checks.resume_changes import Change, changes_between, require_changeable
from configs.errors import ConfigError
from configs.origins import CONFIGS_FOLDER
from configs.reading.load import LoadedExperiment, load_experiment
from configs.reading.overrides import FROM_SCRATCH, WITH_ANCHORS
from configs.schema.data import AutoDataset
from utils.runtime.command import USER_ERROR_CODE
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import CONFIG_NAME, named_run, open_run_folder
from utils.runtime.machine.device_names import require_one_process_a_device
from utils.runtime.machine.load import begin_measuring_load
from utils.runtime.machine.threads import prepare_environment
from utils.runtime.progress import is_silent_process
from utils.runtime.starting import importing

if TYPE_CHECKING:
    from utils.engine.hook import Hook
    from utils.runtime.files.run_folder import RunFolder


def start_training(command: TrainCommand, hooks: "Sequence[Hook]" = ()) -> "RunFolder | None":
    """Train or resume a run; return its folder, None if only a YAML was requested.

    Raises:
        UserError, ConfigError: something the user can fix; nothing of an earlier run is lost.
    """
    command = with_named_run(command)
    loaded, changes = load(command)
    loaded = _prepared(loaded, command)
    if command.write_yaml is not None:
        return None
    with importing():
        from commands.train.report import open_report
        from commands.train.run import train
        from commands.train.run_files import interrupted_run
        from utils.runtime.distributed.ranks import join_ranks
    with join_ranks() as ranks:
        resumed = None if command.resume is None else open_run_folder(command.resume)
        interrupted = ranks.from_main(interrupted_run(loaded, ranks) if resumed is None else None)
        if interrupted is not None:
            loaded, resumed = load_experiment(interrupted.config), interrupted
        folder = train(
            loaded,
            resume=resumed,
            changes=changes,
            ranks=ranks,
            hooks=hooks,
            accept_data=command.accept_data,
        )
    if command.open_report and ranks.is_main:
        open_report(folder)
    return folder


def load_for_trial(command: TrainCommand) -> LoadedExperiment:
    """Return the experiment that a command would train, for what tries it without a run.

    Raises:
        UserError, ConfigError: the configuration or the data cannot be read at all.
    """
    return _prepared(load(command)[0], command)


def _prepared(loaded: LoadedExperiment, command: TrainCommand) -> LoadedExperiment:
    """Return the experiment with its data recognised; the process is ready to import torch."""
    if loaded.path == CONFIGS_FOLDER / FROM_SCRATCH:
        logging.info(
            "%s: %s, a head without anchors; --cfg %s trains one with anchors",
            FROM_SCRATCH,
            loaded.network_name,
            WITH_ANCHORS,
        )
    for note in loaded.notes:
        logging.info(note)
    prepare_environment()
    begin_measuring_load()
    require_one_process_a_device(loaded.experiment.train.device)
    _require_device(loaded.experiment.train.device)
    return look_at_data(loaded, command)


def _require_device(name: str) -> None:
    """Look for the device before the data, which may take long to read."""
    if name in ("auto", "cpu") or "WORLD_SIZE" in os.environ:  # a process of several has its own
        return
    with importing():
        from utils.runtime.machine.device import choose_device
    choose_device(name)


_FOLDER = "run.folder="


def with_named_run(command: TrainCommand) -> TrainCommand:
    """Put a folder in the place of the name of a run, and of `--resume last`; say which that is.

    Names are looked for in runs, or where `run.folder=` says.

    Raises:
        UserError: there is no run.
    """
    if command.resume is None or (command.resume / CONFIG_NAME).is_file():
        return command
    stated = [text.removeprefix(_FOLDER) for text in command.overrides if text.startswith(_FOLDER)]
    found = named_run(command.resume, Path(stated[-1] if stated else "runs")).path
    if found == command.resume:
        return command
    logging.info("resuming %s", found)
    kept = tuple(text for text in command.overrides if not text.startswith(_FOLDER))
    return replace(command, resume=found, overrides=kept)


def look_at_data(loaded: LoadedExperiment, command: TrainCommand) -> LoadedExperiment:
    """Return the configuration with the recognised data=FOLDER; log or write it."""
    with importing():
        from data.intake.resolve import describe, resolve_data, write_yaml
    try:
        loaded, found = resolve_data(loaded)
    except UserError:
        if is_silent_process():
            sys.exit(USER_ERROR_CODE)
        raise
    for line in describe(found):
        logging.info(line)
    if command.write_yaml is not None:
        write_yaml(found, command.write_yaml)
        logging.info("wrote %s; train with data=%s", command.write_yaml, command.write_yaml)
    return loaded


def load(command: TrainCommand) -> tuple[LoadedExperiment, list[Change]]:
    """Return the configuration, of the resumed run or of --cfg, and its changes."""
    try:
        if command.resume is None:
            if command.cfg is None:
                raise UserError("--cfg FILE or --resume RUN is needed")
            loaded = load_experiment(command.cfg, command.overrides)
            if loaded.experiment.model.weights is not None:
                require_weights(loaded.experiment.model.weights)
            return with_size_of_weights(loaded), []
        config = open_run_folder(command.resume).config
        after = load_experiment(config, command.overrides)
        before = load_earlier(config, command.overrides)
        changes = changes_between(recognised(before).experiment, recognised(after).experiment)
        require_changeable(changes)
    except (ConfigError, UserError):
        if is_silent_process():
            sys.exit(USER_ERROR_CODE)  # the first process says it
        raise
    return after, changes


def recognised(loaded: LoadedExperiment) -> LoadedExperiment:
    """Return the configuration with what data=FOLDER is, as a run keeps it."""
    if not isinstance(loaded.experiment.data, AutoDataset):
        return loaded
    with importing():
        from data.intake.resolve import resolve_data
    return resolve_data(loaded)[0]


def load_earlier(config: Path, overrides: tuple[str, ...]) -> LoadedExperiment:
    """Return the configuration of a run, with the present location of its data."""
    moved = [text for text in overrides if text.startswith("data.path=")]
    try:
        return load_experiment(config, moved)
    except ConfigError:
        data = [text for text in overrides if text.startswith(("data=", "data."))]
        if data == moved:
            raise
        return load_experiment(config, data)
