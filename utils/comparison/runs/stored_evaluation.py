"""Stored evaluation of a finished run: ground truth and detections of a split.

One .npz a split, of plain columns, in the run's own folder: every number of the report comes from
these files.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.metrics.rows import DetectionRows, TruthRows
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_atomically, write_json
from utils.runtime.files.json_file import read_json_object
from utils.runtime.files.npz_file import read_npz

FOLDER = "judged"
_TRUTH_COLUMNS = ("image_index", "boxes", "labels", "ignore", "area")
_DETECTION_COLUMNS = ("image_index", "boxes", "scores", "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSplit:
    """One run on one split: val or test."""

    truths: TruthRows
    detections: DetectionRows
    paths: tuple[str, ...]
    """Image files, in the order of `image_index`."""
    class_names: tuple[str, ...]
    result: Mapping[str, Any]
    """EvalResult.to_json() of it."""


def judged_file(run: Path, split: str) -> Path:
    """Return where a run keeps a split; the numbers are beside it as .json, written last."""
    return run / FOLDER / f"{split}.npz"


def is_judged(run: Path) -> bool:
    """Tell whether a run is finished: the test split is written last."""
    return judged_file(run, "test").with_suffix(".json").is_file()


def write_judged(run: Path, split: str, judged: JudgedSplit) -> None:
    """Write a split of a run."""
    path = judged_file(run, split)
    path.parent.mkdir(exist_ok=True)
    columns = {f"truth_{name}": getattr(judged.truths, name) for name in _TRUTH_COLUMNS}
    columns |= {f"found_{name}": getattr(judged.detections, name) for name in _DETECTION_COLUMNS}
    sizes = np.array([judged.truths.num_images, judged.truths.num_classes])
    text = {"paths": np.array(judged.paths, np.str_), "names": np.array(judged.class_names)}
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, sizes=sizes, **text, **columns)
    write_atomically(path, content.getvalue())
    write_json(path.with_suffix(".json"), judged.result)


def read_judged(run: Path, split: str) -> JudgedSplit:
    """Read a split of a run.

    Raises:
        UserError: the files are not there, or are not what `write_judged` wrote, or the split has
            no object.
    """
    path = judged_file(run, split)
    try:
        result = read_json_object(path.with_suffix(".json"))
        file = read_npz(path)
        images, classes = file["sizes"].tolist()
        truths = {name: file[f"truth_{name}"] for name in _TRUTH_COLUMNS}
        found = {name: file[f"found_{name}"] for name in _DETECTION_COLUMNS}
        paths, names = file["paths"].tolist(), file["names"].tolist()
    except (UserError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); remove {path.parent} and start compare.py again, "
            "which evaluates the run again"
        ) from error
    if result.get("map50_95", 0.0) is None:
        raise UserError(
            f"{path}: the {split} split has no object, so AP is undefined and nothing can be "
            "compared on it; give it labelled images"
        )
    return JudgedSplit(
        truths=TruthRows(num_images=images, num_classes=classes, **truths),
        detections=DetectionRows(**found),
        paths=tuple(paths),
        class_names=tuple(names),
        result=result,
    )
