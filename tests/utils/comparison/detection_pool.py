"""Detections of many trainings of one experiment on one test split, in one small file.

`scripts/store_detections.py` writes it. Boxes are kept to a tenth of a pixel and scores to 1/65535:
what the tests compare is what the file holds, so nothing is compared with what was rounded away.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.metrics.rows import DetectionRows, Floats, TruthRows
from utils.runtime.files.atomic import write_atomically

POOL = Path(__file__).with_name("stored_detections.npz")
BOX_STEPS = 10
"""Steps a pixel."""
SCORE_STEPS = 65_535
_TRUTH_COLUMNS = ("image_index", "boxes", "labels", "ignore", "area")


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionPool:
    """What every one of R trainings finds in the same images."""

    truths: TruthRows
    runs: tuple[DetectionRows, ...]
    """(R,) by seed: 0, 1, 2, ..."""
    about: Mapping[str, Any]
    """How they were made: command, settings, hashes, versions."""


def write_pool(path: Path, pool: DetectionPool) -> None:
    """Write a pool; boxes must lie in [0, 6553.5] pixels, scores in [0, 1], labels below 256.

    Raises:
        ValueError: a box or a score lies outside.
    """
    joined = {
        "boxes": _quantised([run.boxes for run in pool.runs], BOX_STEPS),
        "scores": _quantised([run.scores for run in pool.runs], SCORE_STEPS),
        "labels": np.concatenate([run.labels for run in pool.runs]).astype(np.uint8),
    }
    images = pool.truths.num_images
    counts = [np.bincount(run.image_index, minlength=images) for run in pool.runs]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        allow_pickle=False,
        about=np.array(json.dumps(dict(pool.about), sort_keys=True)),
        sizes=np.array([images, pool.truths.num_classes]),
        counts=np.array(counts, np.uint16),
        **{f"truth_{name}": getattr(pool.truths, name) for name in _TRUTH_COLUMNS},
        **{f"found_{name}": column for name, column in joined.items()},
    )
    write_atomically(path, content.getvalue())


def _quantised(parts: Sequence[Floats], steps: int) -> Any:
    whole = np.rint(np.concatenate(parts) * steps)
    if whole.size and not 0 <= whole.min() <= whole.max() <= np.iinfo(np.uint16).max:
        raise ValueError(f"values from {whole.min() / steps} to {whole.max() / steps} do not fit")
    return whole.astype(np.uint16)


def read_pool(path: Path = POOL) -> DetectionPool:
    """Read a pool that `write_pool` wrote."""
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name] for name in file.files}
    images, classes = columns["sizes"].tolist()
    truths = {name: columns[f"truth_{name}"] for name in _TRUTH_COLUMNS}
    ends = columns["counts"].sum(axis=1).cumsum()
    runs = []
    for counts, end in zip(columns["counts"], ends, strict=True):
        rows = slice(end - counts.sum(), end)
        runs.append(
            DetectionRows(
                image_index=np.repeat(np.arange(images), counts),
                boxes=columns["found_boxes"][rows] / BOX_STEPS,
                scores=columns["found_scores"][rows] / SCORE_STEPS,
                labels=columns["found_labels"][rows].astype(np.int64),
            )
        )
    return DetectionPool(
        truths=TruthRows(num_images=images, num_classes=classes, **truths),
        runs=tuple(runs),
        about=json.loads(str(columns["about"])),
    )
