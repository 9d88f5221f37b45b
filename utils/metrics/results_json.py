"""The content of results.json, which training and val.py write alike."""

from typing import Any

from utils.structures.results import EvalResult


def results_json(
    result: EvalResult,
    *,
    epochs: int | None,
    images_per_second: float | None,
    config_hash: str | None,
) -> dict[str, Any]:
    """Return `result` as plain dictionaries, lists and numbers, with what the run adds.

    Args:
        result: numbers of the evaluated weights.
        epochs: epochs the weights were trained for; None where unknown.
        images_per_second: training images for a training run, evaluated images for val.py.
        config_hash: hash of the resolved configuration; None where there is none.
    """
    return {
        **result.to_json(),
        "epochs": epochs,
        "images_per_second": images_per_second,
        "config_hash": config_hash,
    }
