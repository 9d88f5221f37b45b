"""The words in which a training reports: beside its bar and once per epoch."""

from collections.abc import Mapping

from utils.engine.history import Row
from utils.runtime.progress import format_duration
from utils.structures.metrics_columns import FROM_EVALUATION, term_columns
from utils.structures.results import EvalResult


def batch_text(losses: Mapping[str, float], *, lr: float, speed: float) -> str:
    """Return the losses so far, learning rate and images per second, to stand beside a bar."""
    return f"{' '.join(_term_texts(losses))} lr {lr:.2g} {speed:.0f} img/s"


def epoch_text(row: Row, *, epochs: int, is_best: bool, remaining_s: float) -> str:
    """Return the line that stays of an epoch, from its row of metrics.csv."""
    parts = [
        f"epoch {row['epoch']}/{epochs}",
        *_term_texts({name: row[name] for name in term_columns(row)}),
        f"lr {row['lr']:.2g}",
        f"{row['images_per_second']:.0f} img/s",
    ]
    if row["map50_95"] is not None:
        best = " (best)" if is_best else ""
        parts += [f"mAP50-95 {row['map50_95']:.4f}{best}", f"mAP50 {row['map50']:.4f}"]
    if remaining_s > 0:
        parts.append(f"remaining {format_duration(remaining_s)}")
    return "  ".join(parts)


_SHORT = {"objectness": "obj", "classification": "cls"}


def _term_texts(terms: Mapping[str, float | None]) -> list[str]:
    return [
        f"{_SHORT.get(name, name)} {value:.4f}"
        for name, value in terms.items()
        if value is not None and name != "foreground"
    ]


def result_columns(result: EvalResult | None) -> Row:
    """Return the columns of metrics.csv that come from an evaluation, empty ones without it."""
    if result is None:
        return dict.fromkeys(FROM_EVALUATION)
    best = result.operating_points.get("best_f1", {})
    return {
        "map50_95": result.map50_95,
        "map50": result.map50,
        "map75": result.map75,
        "precision": best.get("precision"),
        "recall": best.get("recall"),
    }
