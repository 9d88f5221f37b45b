"""The folder of one run: created by one process only, never overwritten."""

import os
import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from utils.runtime.errors import UserError
from utils.runtime.files.atomic import cannot_write

GRAPH_NAME = "graph.yaml"
CONFIG_NAME = "config.yaml"
LAST = Path("last")
"""What is taken for the run that was written last."""
FILES = {
    "best.safetensors": "weights of the best epoch, with everything needed to use them",
    "results.json": "the numbers of the final evaluation",
    "metrics.csv": "a row for every epoch",
    "labels_report.csv": "every label that was repaired or rejected, and why",
    "weights_report.csv": "what came of each tensor of the weights that it started with",
    CONFIG_NAME: "all settings and where each came from",
    GRAPH_NAME: "the network",
    "environment.json": "versions, hardware, commit, command",
    "budget.csv": "where the loss came from, a row for every epoch",
    "budget.json": "the same of three epochs in every detail",
    "report.html": "the page of the run",
    "plots": "labelled samples, first batches, detections",
    "last": "the state to resume from",
    "last.previous": "the state before that, should the last one be damaged",
    "judged": "detections of the final evaluation, for list_runs.py compare",
    "data.json": "a digest of the data, which resuming compares",
    "pairing.json": "digests of start weights and first batches, which compare.py compares",
}
"""Files of a run that a person opens, and what they hold."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of the files of a run."""

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / CONFIG_NAME

    @property
    def environment(self) -> Path:
        """Versions and hardware."""
        return self.path / "environment.json"

    @property
    def labels_report(self) -> Path:
        """Every label that was repaired or rejected."""
        return self.path / "labels_report.csv"

    @property
    def weights_report(self) -> Path:
        """How each tensor of the pretrained weights was used."""
        return self.path / "weights_report.csv"

    @property
    def metrics(self) -> Path:
        """One row per epoch."""
        return self.path / "metrics.csv"

    @property
    def budget(self) -> Path:
        """The loss budget, one row per epoch."""
        return self.path / "budget.csv"

    @property
    def budget_summary(self) -> Path:
        """The full loss budget of the first epoch, one after a quarter, and the last one."""
        return self.path / "budget.json"

    @property
    def best(self) -> Path:
        """Weights of the best epoch."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """Folder of the state to resume from."""
        return self.path / "last"

    @property
    def results(self) -> Path:
        """The final numbers."""
        return self.path / "results.json"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    @property
    def not_finite(self) -> Path:
        """Folder of batches that were not finite."""
        return self.path / "not_finite"

    @property
    def plots(self) -> Path:
        """Folder of pictures."""
        return self.path / "plots"

    @property
    def loss_scale(self) -> Path:
        """Multipliers of losses whose scale is matched; absent where none is."""
        return self.path / "loss_scale.json"

    @property
    def events(self) -> Path:
        """Folder of TensorBoard events."""
        return self.path / "tensorboard"


_TELLS_NOTHING = (
    *("data", "dataset", "datasets", "images", "annotations", "labels", "export", "exports"),
    *("train", "training", "val", "valid", "validation", "test", "..", ".", ""),
)
_UNPACKED = re.compile(r"-[0-9a-f]{16}$")
_UNSAFE = re.compile(r"[^\w.-]+")


def data_name(path: str) -> str:
    """Return the name of a data set: that of its folder, or of the archive it was unpacked from.

    Folders that tell nothing, such as train, are passed over: a COCO file lies in one of them.
    """
    parts = path.replace("\\", "/").split("/")
    named = (part for part in reversed(parts) if part.lower() not in _TELLS_NOTHING)
    name = _UNPACKED.sub("", next(named, parts[-1]))
    return _UNSAFE.sub("_", name).strip("._") or "data"


def run_name(config: Path, *, config_hash: str, seed: int) -> str:
    """Return the usual name of a run: stem of the configuration file, hash, seed."""
    return f"{config.stem}-{config_hash[:8]}-seed{seed}"


def claim_run_folder(parent: Path, name: str) -> RunFolder:
    """Create and return the folder `name` in `parent`; if taken, name-2, name-3 and so on.

    Of two processes that start at once, each gets a folder of its own.

    Raises:
        UserError: the folder cannot be created.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for number in count(1):
            path = parent / (name if number == 1 else f"{name}-{number}")
            try:
                os.mkdir(path)
            except FileExistsError:
                continue
            _check_writable(path)
            return RunFolder(path)
    except OSError as error:
        raise cannot_write(parent / name, error) from error
    raise AssertionError("unreachable: count() has no end")


def newest_run(parent: Path, name: str) -> RunFolder | None:
    """Return the folder of the last run created under `name`, None without one."""
    newest = None
    for number in count(1):
        folder = RunFolder(parent / (name if number == 1 else f"{name}-{number}"))
        if not folder.path.is_dir():
            return newest
        newest = folder if folder.config.is_file() else newest
    raise AssertionError("unreachable: count() has no end")


def last_run(parent: Path) -> RunFolder:
    """Return the run in `parent` whose files were written last.

    Raises:
        UserError: there is none.
    """
    runs = [RunFolder(config.parent) for config in parent.glob("*/config.yaml")]
    if not runs:
        raise UserError(f"last: there is no run in {parent}")
    return max(runs, key=_written)


def named_run(path: Path, parent: Path) -> RunFolder:
    """Return the run in a folder, of a name in `parent`, or for `last` the one written last.

    Raises:
        UserError: `last` is wanted and there is none.
    """
    inside = parent / path
    if (path / CONFIG_NAME).is_file() or path.is_absolute():
        return RunFolder(path)
    if (inside / CONFIG_NAME).is_file():
        return RunFolder(inside)
    return last_run(parent) if path == LAST else RunFolder(path)


def _written(folder: RunFolder) -> float:
    files = (folder.config, folder.metrics, folder.last, folder.results)
    return max(file.stat().st_mtime for file in files if file.exists())


def _check_writable(path: Path) -> None:
    probe = path / ".probe"
    probe.write_bytes(b"x")
    probe.unlink()


def open_run_folder(path: Path) -> RunFolder:
    """Return the folder of an existing run.

    Raises:
        UserError: there is no such folder, or it contains no run.
    """
    folder = RunFolder(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such run; list_runs.py lists the runs that are there")
    if not folder.config.is_file():
        raise UserError(f"{path}: holds no config.yaml, so it is not the folder of a run")
    return folder
