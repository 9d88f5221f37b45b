"""`metrics.csv`, and other tables with one row per epoch."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from utils.runtime.files.atomic import write_atomically
from utils.structures.metrics_columns import joined_columns

Row = dict[str, int | float | None]


class History:
    """Rows of all epochs so far, on disk after each one; without rows there is no file.

    Its columns are those of all rows, in their order; where a row lacks one it is empty.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []

    def append(self, row: Mapping[str, int | float | None]) -> None:
        """Add the row of an epoch and write the file."""
        self.rows.append(dict(row))
        self.write()

    def write(self) -> None:
        """Replace the file by the rows in memory; those of discarded epochs are removed."""
        columns = joined_columns(self.rows)
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
