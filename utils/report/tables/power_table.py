"""What various numbers of seeds can find, as a table for the screen."""

from collections.abc import Sequence
from typing import Protocol


class Row(Protocol):
    """One number of seeds."""

    @property
    def seeds(self) -> int:
        """Seeds per arm."""
        ...

    @property
    def detectable(self) -> float | None:
        """Smallest difference found with a probability of 0.8."""
        ...

    @property
    def power_at_margin(self) -> float:
        """Probability of finding a difference of the margin."""
        ...

    @property
    def power_of_equivalence(self) -> float:
        """Probability of showing equivalence of equal arms."""
        ...


def power_table(rows: Sequence[Row], margin: float) -> str:
    """Return a table with one line a number of seeds."""
    finds = f"finds {margin:g}"
    lines = [f"seeds  found with 80 %  {finds:>11}  shows equivalence"]
    for row in rows:
        found = "never" if row.detectable is None else f"{row.detectable:.2f} points"
        lines.append(
            f"{row.seeds:>5}  {found:>15}  {row.power_at_margin:>11.0%}  "
            f"{row.power_of_equivalence:>17.0%}"
        )
    lines.append(
        "found with 80 %: smallest true difference that is called better or worse four times in "
        "five;\nshows equivalence: probability of that verdict where nothing differs.\n"
        "The test images count as given."
    )
    return "\n".join(lines) + "\n"
