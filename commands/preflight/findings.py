"""What a preflight finds and says."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Literal

from configs.errors import ConfigError
from utils.runtime.errors import UserError
from utils.runtime.machine.memory import GIB, is_out_of_memory

SLACK = 2.0
"""Of the disk that a run needs, so much has to be free: others write, too."""
LOADER_BOUND = 1.0
"""Loading a batch takes longer than computing it from here on."""
COPIES_OF_WEIGHTS = 9
"""Best weights, and two states (the new one is written beside the old one) of network, average and
two values an optimizer remembers."""
OTHER_BYTES = 50 << 20
"""Pages, pictures and logs of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something to know before the training starts."""

    level: Literal["error", "warning"]
    """error: the training would fail or be worthless."""
    text: str

    def __str__(self) -> str:
        return f"{self.level}: {self.text}"


@dataclass(kw_only=True)
class Preflight:
    """The lines and findings of one preflight."""

    lines: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_clear(self) -> bool:
        """Tell whether nothing is in the way of the training."""
        return not any(finding.level == "error" for finding in self.findings)

    def say(self, text: str) -> None:
        """Add a line of the report."""
        self.lines.append(text)

    def warn(self, text: str) -> None:
        """Add a warning."""
        self.findings.append(Finding(level="warning", text=text))

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Time a part and turn what the user has to fix into an error; other errors go on."""
        began = perf_counter()
        try:
            yield
        except (UserError, ConfigError, OSError) as error:
            said = error.strerror if isinstance(error, OSError) else None
            for line in (said or str(error)).splitlines():
                self.findings.append(Finding(level="error", text=f"{what}: {line}"))
            return
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self.findings.append(Finding(level="error", text=f"{what}: out of memory"))
            return
        self.say(f"{what}: fine, {perf_counter() - began:.1f} s")

    def text(self) -> str:
        """Return the report, worst findings first."""
        errors = [str(f) for f in self.findings if f.level == "error"]
        warnings = [str(f) for f in self.findings if f.level == "warning"]
        verdict = "ready to train" if self.is_clear else "not ready: fix the errors first"
        return "\n".join(["preflight", *(f"  {line}" for line in self.lines), *errors, *warnings,
                          verdict])  # fmt: skip


def check_folder(result: Preflight, folder: Path) -> None:
    """See whether runs can be written into `folder`, which is made."""
    with result.trying(f"folder {folder}"):
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(b"x")
        finally:
            for path in made:  # nothing of a preflight stays
                if path.is_dir():
                    path.rmdir()


def check_disk(result: Preflight, folder: Path, *, parameters: int, cache_bytes: int) -> None:
    """Compare what a run writes with the free disk.

    Args:
        result: gets the finding.
        folder: of the runs.
        parameters: of the network.
        cache_bytes: that decoded images take beside it, on the disk of the user's cache.
    """
    need = 4 * parameters * COPIES_OF_WEIGHTS + OTHER_BYTES
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    cached = f", and {cache_bytes / GIB:.2g} GiB of decoded images" if cache_bytes else ""
    result.say(f"disk: a run takes {need / GIB:.2g} GiB{cached}; {free / GIB:.1f} GiB are free")
    if free < SLACK * need:
        text = f"disk: {free / GIB:.2g} GiB are free at {existing}, {SLACK * need / GIB:.2g} wanted"
        result.findings.append(Finding(level="error", text=f"{text}; set run.folder elsewhere"))


def judge_speed(
    result: Preflight, *, load_s: float, step_s: float, workers: int, batches: int
) -> float:
    """Say whether loading or computing takes longer; return the seconds of an epoch.

    Args:
        result: gets line and finding.
        load_s: seconds until the workers have another batch.
        step_s: seconds that the device computes on it.
        workers: loader processes; with none, loading and computing take turns.
        batches: of an epoch.
    """
    each = max(load_s, step_s) if workers else load_s + step_s
    is_slow = load_s > LOADER_BOUND * step_s
    bound = "loader-bound" if is_slow else "compute-bound"
    result.say(f"a batch: {load_s:.2f} s to load, {step_s:.2f} s to compute: {bound}")
    if is_slow:
        ways = f"train.workers={max(2 * workers, 2)}, train.cache=disk, less augmentation"
        result.warn(f"images load slower ({load_s:.2f} s a batch) than they are learned: {ways}")
    return each * batches
