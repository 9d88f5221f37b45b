"""`hooks: [mlflow]`: settings, numbers, files and weights of a run in an MLflow tracking store."""

import time
from typing import Any

from utils.engine.hooks.remote_log import (
    RemoteLog,
    files_to_keep,
    flat_settings,
    require_logger,
)
from utils.engine.run import Run
from utils.runtime.errors import UserError

LONGEST_VALUE = 500
"""Characters of a setting; older servers take no more."""
MOST_AT_ONCE = 100
"""Settings in one request, by MLflow's own limit."""


class MlflowLog(RemoteLog):
    """Writes a run to MLflow.

    Args:
        tracking_uri: of the server or database, as in http://localhost:5000 or sqlite:///mlflow.db;
            where None, $MLFLOW_TRACKING_URI or what MLflow takes without.
        experiment: that the run belongs to; is created.
        register: name in the model registry under which the best weights get a new version; None
            registers nothing.
    """

    name = "MLflow"

    def __init__(
        self,
        tracking_uri: str | None = None,
        experiment: str = "focaldet",
        register: str | None = None,
    ) -> None:
        super().__init__()
        mlflow = require_logger("mlflow", "mlflow")
        self._client: Any = mlflow.MlflowClient(tracking_uri=tracking_uri)
        self._experiment = experiment
        self._register = register

    def open(self, run: Run) -> str:
        """Begin the run there, with its settings, name, notes and tags."""
        settings = flat_settings(run.folder)
        if self.record is not None:
            self._client.update_run(self.record, status="RUNNING")
            return self.record
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = (
            known.experiment_id if known else self._client.create_experiment(self._experiment)
        )
        tags = {name: "true" for name in settings.get("run.tags") or ()}
        if settings.get("run.notes"):
            tags["mlflow.note.content"] = settings["run.notes"]
        made = self._client.create_run(experiment, run_name=run.folder.path.name, tags=tags)
        record: str = made.info.run_id
        entities = require_logger("mlflow.entities", "mlflow")
        parameters = [
            entities.Param(key, str(value)[:LONGEST_VALUE]) for key, value in settings.items()
        ]
        for first in range(0, len(parameters), MOST_AT_ONCE):
            self._client.log_batch(record, params=parameters[first : first + MOST_AT_ONCE])
        return record

    def log(self, run: Run, numbers: dict[str, float]) -> None:
        """Write the numbers; the step is the epoch."""
        entities = require_logger("mlflow.entities", "mlflow")
        now = int(time.time() * 1000)
        metrics = [entities.Metric(key, value, now, run.epoch) for key, value in numbers.items()]
        self._client.log_batch(self.record, metrics=metrics)

    def close(self, run: Run) -> None:
        """Write files and best weights, register them, and end the run."""
        for path in files_to_keep(run.folder):
            self._client.log_artifact(self.record, str(path))
        if run.folder.best.is_file():
            self._client.log_artifact(self.record, str(run.folder.best), "model")
            if self._register is not None and run.is_finished:
                self._new_version(self._register)
        self._client.set_terminated(self.record, "FINISHED" if run.is_finished else "KILLED")

    def _new_version(self, name: str) -> None:
        mlflow = require_logger("mlflow", "mlflow")
        try:
            self._client.create_registered_model(name)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise UserError(f"MLflow cannot register {name!r}: {error}") from error
        place = self._client.get_run(self.record).info.artifact_uri
        self._client.create_model_version(name, source=f"{place}/model", run_id=self.record)
