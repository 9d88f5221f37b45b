"""One run of a comparison: trained and judged in one process, which starts torch only once."""

import logging
from collections.abc import Sequence
from pathlib import Path

from commands.compare.evaluate_run import evaluate_run
from commands.train.run import train
from configs.checks.resume_changes import changes_between, require_changeable
from configs.reading.load import load_experiment
from utils.runtime.files.run_folder import open_run_folder

logger = logging.getLogger(__name__)


def train_and_judge(cfg: Path, overrides: Sequence[str]) -> None:
    """Train an experiment and judge its last epoch.

    Raises:
        UserError, ConfigError: something the user can mend; a training that ended stays.
        TrainingStopped: asked to stop; the state is saved.
    """
    loaded = load_experiment(cfg, overrides)
    for note in loaded.notes:
        logger.info("%s", note)
    evaluate_run(train(loaded).path)


def resume_and_judge(path: Path, overrides: Sequence[str]) -> None:
    """Go on with the training of a run folder and judge its last epoch; raises as above."""
    folder = open_run_folder(path)
    before, after = load_experiment(folder.config), load_experiment(folder.config, overrides)
    changes = changes_between(before.experiment, after.experiment)
    require_changeable(changes)
    evaluate_run(train(after, resume=folder, changes=changes).path)
