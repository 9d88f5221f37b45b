"""`metrics.csv`, and other tables with one row per epoch."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from utils.runtime.atomic import write_atomically

Row = dict[str, int | float | None]

COLUMNS = (
    "epoch",
    "step",
    "lr",
    "box",
    "objectness",
    "classification",
    "foreground",
    "images_per_second",
    "seconds",
    "map50_95",
    "map50",
    "map75",
    "precision",
    "recall",
)
"""epoch counts from 1; step: optimizer steps so far; lr: in the epoch's last batch; box,
objectness, classification: loss terms, gains applied, mean over images; foreground: matches per
image; seconds: training time of the epoch, without validation; precision and recall at the best
F1. Empty where the epoch was not validated."""


class History:
    """Rows of all epochs so far, on disk after each one.

    Without `columns` they are those of the first row, and without rows there is no file.
    """

    def __init__(self, path: Path, columns: Sequence[str] = COLUMNS) -> None:
        self.path = path
        self.columns = tuple(columns)
        self.rows: list[Row] = []

    def append(self, row: Mapping[str, int | float | None]) -> None:
        """Add the row of an epoch and write the file."""
        self.rows.append({name: row.get(name) for name in self.columns or row})
        self.write()

    def write(self) -> None:
        """Replace the file by the rows known here; those of abandoned epochs go."""
        columns = self.columns or tuple(next(iter(self.rows), ()))
        if not columns:
            self.path.unlink(missing_ok=True)
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, text.getvalue().encode())

    def state(self) -> list[Row]:
        """Return what `load_state` restores."""
        return self.rows

    def load_state(self, rows: list[Row]) -> None:
        """Take over the rows of a checkpoint and write the file."""
        self.rows = [dict(row) for row in rows]
        self.write()
