"""The words in which a training reports: beside its bar and once per epoch."""

from collections.abc import Mapping

from utils.engine.history import Row
from utils.runtime.progress import format_duration
from utils.structures.results import EvalResult


def batch_text(losses: Mapping[str, float], *, lr: float, speed: float) -> str:
    """Return the losses so far, learning rate and images per second, to stand beside a bar."""
    return (
        f"box {losses['box']:.4f} obj {losses['objectness']:.4f} "
        f"cls {losses['classification']:.4f} lr {lr:.2g} {speed:.0f} img/s"
    )


def epoch_text(row: Row, *, epochs: int, is_best: bool, remaining_s: float) -> str:
    """Return the line that stays of an epoch, from its row of metrics.csv."""
    parts = [
        f"epoch {row['epoch']}/{epochs}",
        f"box {row['box']:.4f}",
        f"obj {row['objectness']:.4f}",
        f"cls {row['classification']:.4f}",
        f"lr {row['lr']:.2g}",
        f"{row['images_per_second']:.0f} img/s",
    ]
    if row["map50_95"] is not None:
        best = " (best)" if is_best else ""
        parts += [f"mAP50-95 {row['map50_95']:.4f}{best}", f"mAP50 {row['map50']:.4f}"]
    if remaining_s > 0:
        parts.append(f"remaining {format_duration(remaining_s)}")
    return "  ".join(parts)


def result_columns(result: EvalResult | None) -> Row:
    """Return the columns of metrics.csv that come from an evaluation."""
    if result is None:
        return {}
    best = result.operating_points.get("best_f1", {})
    return {
        "map50_95": result.map50_95,
        "map50": result.map50,
        "map75": result.map75,
        "precision": best.get("precision"),
        "recall": best.get("recall"),
    }
