"""The whole configuration of a training run."""

import re
from typing import Annotated, Any

from pydantic import Field, field_validator

from configs.schema.augment import AugmentSettings
from configs.schema.data import Dataset
from configs.schema.evaluation import EvalSettings
from configs.schema.loss import LossSettings
from configs.schema.model import ModelSettings
from configs.schema.settings import Settings
from configs.schema.train import TrainSettings

_CLASS_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*")
LOGGERS = ("mlflow", "tensorboard", "wandb")
"""Hooks of ours that an experiment names by one word."""


class RunSettings(Settings):
    """Where results go."""

    folder: str = "runs"
    """Folder that contains the run folders, relative to the working directory."""

    name: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    """Name of the run's folder, of letters, digits, _ . and -; null names it after the
    configuration file, its hash and the seed. A folder is never overwritten: a taken name gets a
    number."""

    notes: str | None = None
    """What the run is for, in your words; shown by list_runs.py and sent to loggers."""

    tags: tuple[Annotated[str, Field(pattern=r"^[^,\s][^,]*$", max_length=60)], ...] = ()
    """Words that group runs, as in [baseline, night]; shown by list_runs.py, sent to loggers."""

    checkpoint_minutes: float = Field(default=10.0, gt=0)
    """Longest time between two checkpoints, minutes; one is written after each epoch too."""


class Experiment(Settings):
    """One training run: data, network, loss, optimisation, evaluation."""

    data: Dataset
    """The data set: a mapping, or the name of a YAML that holds it (one published for YOLOv5-style
    trainers is read as it is)."""

    model: ModelSettings = ModelSettings()
    """The network."""

    loss: LossSettings = LossSettings()
    """The training loss."""

    train: TrainSettings = TrainSettings()
    """The optimisation."""

    augment: AugmentSettings = AugmentSettings()
    """Augmentation of training images."""

    eval: EvalSettings = EvalSettings()
    """Evaluation."""

    run: RunSettings = RunSettings()
    """Where results go."""

    hooks: tuple[str | dict[str, Any], ...] = ()
    """What is called during training: loggers by name ([mlflow], [wandb], [tensorboard]) and your
    own classes, [my_package.MyHook] or, with arguments, [{name: my_package.MyHook, key: value}];
    imported from the working directory or from installed packages."""

    @field_validator("hooks")
    @classmethod
    def _require_class_names(
        cls, hooks: tuple[str | dict[str, Any], ...]
    ) -> tuple[str | dict[str, Any], ...]:
        for hook in hooks:
            name = hook.get("name") if isinstance(hook, dict) else hook
            if name in LOGGERS:
                continue
            if not isinstance(name, str) or not _CLASS_NAME.fullmatch(name):
                raise ValueError(
                    f"{hook!r} names no hook; it must be one of {', '.join(LOGGERS)}, or a class "
                    "as in my_package.MyHook, or {name: my_package.MyHook, key: value}"
                )
        return hooks
