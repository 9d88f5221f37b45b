"""Settings out of a weights file, as far as a file of others may decide.

What the training was is a fact of the weights; how many processes and threads this machine starts,
on which device, and how much memory a batch takes is not.
"""

from collections.abc import Mapping
from typing import Any

from utils.runtime.machine.threads import available_cores

LARGEST_BATCH = 64
MOST_DETECTIONS = 100_000


def stored_settings(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored configuration by section, with this machine's limits laid over it."""
    stored = {
        name: dict(section) if isinstance(section, dict) else section
        for name, section in dict(metadata.get("config", {})).items()
    }
    cores = available_cores()
    if "train" in stored:
        train = stored["train"]
        _limit(train, "workers", cores)
        if isinstance(train.get("threads"), int) and train["threads"] > cores:
            train["threads"] = 0
    if "eval" in stored:
        _limit(stored["eval"], "batch_size", LARGEST_BATCH)
        _limit(stored["eval"], "max_detections", MOST_DETECTIONS)
        _limit(stored["eval"], "max_candidates", 100 * MOST_DETECTIONS)
    return stored


def _limit(section: dict[str, Any], key: str, most: int) -> None:
    if type(section.get(key)) is int:
        section[key] = min(section[key], most)
