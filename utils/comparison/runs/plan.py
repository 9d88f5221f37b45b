"""The training runs of a comparison: which, where, and how each is started."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.comparison.runs.stored_evaluation import is_judged
from utils.runtime.program import program_file


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One training: an arm with a seed, or a trial of an arm's tuning."""

    arm: str
    seed: int
    experiment: Path
    """YAML that all arms share."""
    overrides: tuple[str, ...]
    """What the arm changes, `section.key=value`."""
    folder: Path
    trial: int | None = None

    @property
    def title(self) -> str:
        """The run for a person."""
        trial = "" if self.trial is None else f" trial {self.trial}"
        return f"{self.arm}{trial} seed {self.seed}"

    @property
    def key(self) -> str:
        """The run as a file name, unique within the comparison."""
        trial = "" if self.trial is None else f"-trial{self.trial}"
        return f"{self.arm}{trial}-seed{self.seed}"

    @property
    def is_done(self) -> bool:
        """Tell whether it is trained and evaluated."""
        return is_judged(self.folder)

    def next_command(self, extra: Sequence[str] = ()) -> list[str] | None:
        """Return the command to start next, None if nothing; `extra` settings have no influence.

        A run with a saved state is resumed; the files of one without are removed. Only the holder
        of the run's claim may call this.
        """
        if self.is_done:
            return None
        if (self.folder / "results.json").is_file():
            return self._program("judge", str(self.folder))
        if (self.folder / "last").is_dir() and (self.folder / "config.yaml").is_file():
            return self._program("train", "--resume", str(self.folder), *extra)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        own = [f"train.seed={self.seed}", f"run.folder={self.folder.parent}"]
        own.append(f"run.name={self.folder.name}")
        return self._program("train", "--cfg", str(self.experiment), *self.overrides, *own, *extra)

    def _program(self, *arguments: str) -> list[str]:
        return [sys.executable, str(program_file("compare")), *arguments]
