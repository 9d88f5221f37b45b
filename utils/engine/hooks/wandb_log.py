"""`hooks: [wandb]`: settings, numbers, pictures and weights of a run for Weights & Biases."""

import os
from typing import Any, Literal

from utils.engine.hooks.remote_log import (
    RemoteLog,
    files_to_keep,
    flat_settings,
    require_logger,
)
from utils.engine.run import Run

MOST_PICTURES = 6


class WandbLog(RemoteLog):
    """Writes a run to Weights & Biases.

    Args:
        project: that the run belongs to.
        entity: user or team; your own where None.
        mode: online, or offline: files in the run folder, to be sent with `wandb sync`; where None,
            what $WANDB_MODE says, else online.
        log_model: keep the best weights there as an artifact.
    """

    name = "Weights & Biases"

    def __init__(
        self,
        project: str = "focaldet",
        entity: str | None = None,
        mode: Literal["online", "offline"] | None = None,
        log_model: bool = True,
    ) -> None:
        super().__init__()
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # of its own faults to its makers
        self._wandb: Any = require_logger("wandb", "wandb")
        self._project, self._entity = project, entity
        self._mode, self._log_model = mode, log_model
        self._run: Any = None

    def open(self, run: Run) -> str:
        """Begin the run there, with its settings, name, notes and tags; nothing of the console."""
        settings = flat_settings(run.folder)
        self._run = self._wandb.init(
            project=self._project,
            entity=self._entity,
            mode=self._mode,
            name=run.folder.path.name,
            id=self.record,
            resume=None if self.record is None else "allow",
            config=settings,
            notes=settings.get("run.notes"),
            tags=list(settings.get("run.tags") or ()),
            dir=str(run.folder.path),
            settings=self._wandb.Settings(console="off", disable_code=True, silent=True),
        )
        record: str = self._run.id
        return record

    def log(self, run: Run, numbers: dict[str, float]) -> None:
        """Write the numbers; the step is the epoch. Pictures come with the best epochs."""
        shown: dict[str, Any] = dict(numbers)
        if run.evidence is not None and run.is_best:
            shown["validation"] = [
                self._wandb.Image(picture, caption=name)
                for name, picture in run.evidence.pictures(MOST_PICTURES)
            ]
        self._run.log(shown, step=run.epoch)

    def close(self, run: Run) -> None:
        """Keep best weights and files as an artifact, and end the run."""
        if self._log_model and run.folder.best.is_file():
            artifact = self._wandb.Artifact(f"{run.folder.path.name}-best", type="model")
            for path in (run.folder.best, *files_to_keep(run.folder)):
                artifact.add_file(str(path))
            self._run.log_artifact(artifact)
        self._run.finish(exit_code=0 if run.is_finished else 1)
