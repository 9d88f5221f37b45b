"""What loggers share that send a run to a server or a database of their own."""

import importlib
import logging
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from configs.origins import leaves
from configs.reading.yaml_reader import read_yaml
from utils.engine.hook import Hook
from utils.engine.run import Run
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import RunFolder

logger = logging.getLogger(__name__)


class RemoteLog(Hook):
    """Sends settings at the start, numbers after every epoch, files at the end.

    What fails at the start is a mistake of the settings and ends the training; later failures, such
    as a server that is down, cost the log and one line, never the training. A resumed training goes
    on with the same record, whose id is part of every checkpoint.
    """

    name = ""
    """What it logs to, for messages."""

    def __init__(self) -> None:
        self.record: str | None = None
        """Id of the record there."""
        self._is_lost = False

    @abstractmethod
    def open(self, run: Run) -> str:
        """Begin the record, or take up `self.record`; return its id."""

    @abstractmethod
    def log(self, run: Run, numbers: dict[str, float]) -> None:
        """Write the numbers of an epoch."""

    @abstractmethod
    def close(self, run: Run) -> None:
        """Write the files and end the record."""

    def before_training(self, run: Run) -> None:
        """Begin the record and write the numbers of the start, if it was evaluated.

        Raises:
            UserError: the record cannot be begun.
        """
        try:
            self.record = self.open(run)
        except UserError:
            raise
        except Exception as error:  # whatever a foreign library raises
            raise UserError(f"{self.name} cannot be used: {_said(error)}") from error
        if run.metrics:
            self.after_epoch(run)

    def after_epoch(self, run: Run) -> None:
        """Write the numbers of the epoch, those of other hooks included."""
        values = {**run.metrics, **run.extras}
        numbers = {k: float(v) for k, v in values.items() if v is not None and k != "epoch"}
        self._attempt(lambda: self.log(run, numbers))

    def after_training(self, run: Run) -> None:
        """Write the files; not before the record was begun."""
        if self.record is not None:
            self._attempt(lambda: self.close(run))

    def state(self) -> dict[str, Any]:
        """Return the id of the record."""
        return {"record": self.record}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on with a record."""
        self.record = state["record"]

    def _attempt(self, call: Callable[[], None]) -> None:
        if self._is_lost:
            return
        try:
            call()
        except Exception as error:  # whatever a foreign library raises
            self._is_lost = True
            logger.warning(
                "%s failed and gets no more data of this run, which goes on: %s",
                self.name,
                _said(error),
            )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def require_logger(module: str, package: str) -> Any:
    """Return an imported module.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"the hook {module} needs the package {package}: pip install {package}, or all loggers "
            "with pip install focaldet[loggers] (requirements-loggers.txt)"
        ) from error


def flat_settings(folder: RunFolder) -> dict[str, Any]:
    """Return all settings of a run by dotted key."""
    values = read_yaml(folder.config).values
    flat: dict[str, Any] = {}
    for path in leaves(values):
        value: Any = values
        for name in path:
            value = value[name]
        flat[".".join(path)] = value
    return flat


def files_to_keep(folder: RunFolder) -> list[Path]:
    """Return the files of a run that others keep, those that are there."""
    wanted = (
        *(folder.config, folder.environment, folder.metrics, folder.results, folder.report),
        *(folder.labels_report, folder.weights_report),
    )
    return [path for path in wanted if path.is_file()]
