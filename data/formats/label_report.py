"""Label report: the decision about every label row and image that is not used as it is.

Rows are checked in `data/formats/rows.py`.
"""

import csv
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from utils.runtime.errors import UserError
from utils.runtime.printable import csv_cell, printable, shortened

COLUMNS = ("file", "location", "value", "reason", "action")
Action = Literal["repaired", "rejected", "noted"]
_ACTIONS: tuple[Action, ...] = ("rejected", "repaired", "noted")
_LONGEST_VALUE = 200
_LONGEST_REASON = 500
_REASONS_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision: place, value, reason and action.

    `location` is "line 3", "annotation 17" or "object 2" for a row of labels, "image" or "file" for
    the whole of `file`. repaired: changed and used; rejected: not used; noted: nothing was changed.
    """

    file: str
    location: str
    value: str
    reason: str
    action: Action

    @property
    def place(self) -> str:
        """File name and location, short enough for the screen."""
        name = printable(Path(self.file).name)
        return name if self.location in ("image", "file") else f"{name} {self.location}"


def decide(file: str | Path, location: str, value: object, reason: str, action: Action) -> Decision:
    """Return a decision; a value too long to read is cut, one that cannot be shown is escaped."""
    return Decision(
        file=str(file),
        location=shortened(location),
        value=shortened(value, _LONGEST_VALUE),
        reason=shortened(reason, _LONGEST_REASON),
        action=action,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelReport:
    """The decisions about one split, and its counts.

    num_rows counts every label row found for the split's images, num_rejected those that are not
    used, the rows of unusable images and of label files without image among them, num_dropped rows
    that are left out without loss (copies of others, classes that data.classes leaves out): used
    rows = num_rows - num_rejected - num_dropped, of which num_ignored are crowds and difficult
    objects. num_images counts images in use, num_background those of them without any used row,
    num_unlabelled those without a label file, num_left_out images that could not be used.
    """

    split: str
    decisions: tuple[Decision, ...]
    num_rows: int
    num_rejected: int
    num_ignored: int
    num_images: int
    num_background: int
    num_unlabelled: int
    num_left_out: int
    num_dropped: int = 0
    refusal: str = ""
    """Why the split must not be trained on, however few rows are rejected; "" where it may."""
    hint: str = ""
    """Common cause of the rejected rows and its remedy; "" if unknown."""

    @property
    def num_used(self) -> int:
        """Rows that became boxes."""
        return self.num_rows - self.num_rejected - self.num_dropped

    def write_csv(self, path: str | Path) -> None:
        """Write all decisions, one a line under a header of `COLUMNS`; folders are made."""
        write_csv(path, (self,))

    def summary(self, csv_path: str | Path | None = None) -> list[str]:
        """Return a few lines for the screen: totals, reasons with an example, path of the rest."""
        lines = [self._totals()]
        for action in _ACTIONS:
            lines += self._reasons(action)
        if self.decisions and csv_path is not None:
            lines.append(f"  every decision: {csv_path}")
        return lines

    def require_usable(self, max_rejected: float) -> None:
        """Raise UserError if more than the share `max_rejected`, 0 to 1, of rows was rejected, or
        those that are used cannot be right.
        """
        if self.refusal:
            raise UserError(f"data.{self.split}: {self.refusal}")
        if self.num_rejected <= max_rejected * self.num_rows:
            return
        share = self.num_rejected / self.num_rows
        enough = min(1.0, math.ceil(share * 1000) / 1000)
        advice = f", or set data.max_rejected={enough:g} to train without them"
        raise UserError(
            f"{self.split}: {self.num_rejected} of {self.num_rows} label rows ({share:.1%}) cannot "
            f"be used, more than data.max_rejected = {max_rejected:g} allows: "
            f"{self._why_rejected()}; {self.hint or 'fix them'}"
            f"{advice if self.num_used and not self.hint else ''}"
        )

    def _totals(self) -> str:
        images = [f"{self.num_background} without objects"] if self.num_background else []
        if self.num_unlabelled:
            images.append(f"{self.num_unlabelled} without label file")
        details = f" ({', '.join(images)})" if images else ""
        ignored = f", {self.num_ignored} of them to be ignored" if self.num_ignored else ""
        left_out = f", {self.num_left_out} left out" if self.num_left_out else ""
        return (
            f"{self.split}: {self.num_images} images{details}{left_out}; "
            f"{self.num_used} of {self.num_rows} label rows used{ignored}"
        )

    def _reasons(self, action: Action) -> list[str]:
        chosen = [decision for decision in self.decisions if decision.action == action]
        counts = Counter(decision.reason for decision in chosen)
        first = {decision.reason: decision for decision in reversed(chosen)}
        lines = [
            f"  {action} {count}: {reason}, e.g. {_example(first[reason])}"
            for reason, count in counts.most_common(_REASONS_SHOWN)
        ]
        if len(counts) > _REASONS_SHOWN:
            rest = len(chosen) - sum(count for _, count in counts.most_common(_REASONS_SHOWN))
            lines.append(f"  {action} {rest}: {len(counts) - _REASONS_SHOWN} more reasons")
        return lines

    def _why_rejected(self) -> str:
        rejected = [
            decision
            for decision in self.decisions
            if decision.action == "rejected" and decision.location != "image"
        ]
        counts = Counter(decision.reason for decision in rejected)
        first = {decision.reason: decision for decision in reversed(rejected)}
        return ", ".join(
            f"{count} x {reason} ({first[reason].place})" for reason, count in counts.most_common(3)
        )


def write_csv(path: str | Path, reports: Iterable[LabelReport]) -> None:
    """Write the decisions of several splits into one file; the header stands even without any."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # File names that are not valid UTF-8 must not stop a report.
    with target.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for report in reports:
            for row in report.decisions:
                cells = (row.file, row.location, row.value, row.reason, row.action)
                writer.writerow(map(csv_cell, cells))


def _example(decision: Decision) -> str:
    value = decision.value if len(decision.value) <= 60 else decision.value[:57] + "..."
    return f"{decision.place}: {value}" if value else decision.place
