"""Replay of a batch that was not finite."""

import logging
from pathlib import Path

from commands.build.criterion import build_training_criterion
from commands.build.training_start import build_training_detector
from configs.reading.derive import derive
from configs.reading.load import load_experiment
from data.records.load import load_split
from utils.engine.diagnosis import diagnose, load_replay
from utils.engine.learner import Learner
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import open_run_folder
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.threads import set_threads

logger = logging.getLogger(__name__)


def replay(path: Path) -> None:
    """Replay a batch that a training run saved; report which tensor went wrong first.

    Raises:
        UserError: the file is damaged or is not in its run folder any more.
        ConfigError: the configuration of the run cannot be used.
    """
    saved = load_replay(path)
    folder = open_run_folder(path.resolve().parent.parent)
    stated = load_experiment(folder.config)
    split = load_split(stated.experiment.data, "train")
    loaded = derive(stated, num_images=max(len(split.records), 1))
    settings = loaded.experiment.train
    device = choose_device(settings.device)
    set_threads(settings.threads)
    start = build_training_detector(loaded, split, resumed=True)
    criterion = build_training_criterion(start.loaded, start.detector, split, folder, device=device)
    learner = Learner(
        start.detector,
        criterion,
        settings,
        batches_per_epoch=max(len(split.records) // settings.batch_size, 1),
        device=device,
        rules=start.rules,
    )
    try:
        learner.model.load_state_dict(dict(saved.model))
        criterion.load_state_dict(dict(saved.criterion))
    except RuntimeError as error:
        raise UserError(f"{path} is of another network than {folder.config}") from error
    learner.model.train()
    logger.info("images:")
    for meta in saved.batch.metas:
        logger.info("  %s", meta.path)
    targets = saved.batch.targets
    logger.info("%d images, %d objects", len(saved.batch), len(targets))
    logger.info("first not finite: %s", diagnose(learner, saved.batch, saved.iteration))
