"""The generated data set: scenes, written once as real files in YOLO layout.

The scenes are made in `scene.py`; here they are written to disk.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.schema.data import SyntheticDataset, YoloDataset
from data.synthetic import CLASS_NAMES, Scene, render_scene
from utils.runtime.errors import UserError
from utils.runtime.files.json_file import read_json_object
from utils.runtime.files.regular_file import UnreadableFileError
from utils.runtime.machine.threads import available_cores
from utils.runtime.printable import shortened
from utils.runtime.progress import progress_bar

logger = logging.getLogger(__name__)

GENERATOR_VERSION = 9
"""Increased whenever the same settings give other files."""

SPLITS = ("train", "val", "test")
MANIFEST = "generator.json"
ABANDONED_AFTER_S = 3600.0
AT_ONCE = 32
"""Scenes that are asked for together: numpy and OpenCV leave Python to other threads."""
ROUNDING = 2e-9
"""Taken from normalised sides of nine decimals, the least that outweighs rounding of the centre."""


def ensure_written(dataset: SyntheticDataset, *, may_generate: bool = True) -> YoloDataset:
    """Generate the data set unless it is there already; return it as the YOLO data set it is.

    A folder of the same settings is used as it is. Two processes may do this at once: each writes
    to a folder of its own, which is renamed when whole; the second to finish takes the first's.

    Raises:
        UserError: the folder contains something else, cannot be written, or would have to be
            generated though that is not allowed here.
    """
    _check_class_names(dataset)
    try:
        root = _folder_for(Path(dataset.path), dataset)
        if not _is_written(root, dataset):
            if not may_generate:
                raise UserError(
                    f"data.path: the generated data set {shortened(root)} that the weights name is "
                    "not there; name a data set with --data"
                )
            _generate(root, dataset)
    except (OSError, ValueError) as error:
        raise UserError(
            f"data.path: cannot write the generated images to {dataset.path}: {error}"
        ) from None
    return YoloDataset(
        path=str(root.resolve()),
        class_names=dataset.class_names,
        max_rejected=dataset.max_rejected,
        cache=dataset.cache,
        train="images/train",
        val="images/val",
        test="images/test" if dataset.test_images else None,
        folds=dataset.folds,
        fold=dataset.fold,
    )


def _folder_for(root: Path, dataset: SyntheticDataset) -> Path:
    """Return `root`, or a folder beside it where it contains scenes of other settings."""
    if not (root / MANIFEST).is_file():
        return root
    is_whole = _read_manifest(root).keys() == _settings(dataset).keys()
    if not is_whole or not _differences(root, dataset):
        return root
    text = json.dumps(_settings(dataset), sort_keys=True)
    own = root.with_name(f"{root.name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}")
    logger.info(
        "%s contains scenes made with other settings; those of this run are in %s", root, own
    )
    return own


def _check_class_names(dataset: SyntheticDataset) -> None:
    expected = CLASS_NAMES[: len(dataset.class_names)]
    if dataset.class_names != expected:
        raise UserError(
            f"data.class_names: {', '.join(dataset.class_names)} cannot be generated; "
            f"give the first so many of: {', '.join(CLASS_NAMES)}"
        )


def _settings(dataset: SyntheticDataset) -> dict[str, Any]:
    """Return what decides the content of the files."""
    return {
        "generator_version": GENERATOR_VERSION,
        "class_names": list(dataset.class_names),
        "train_images": dataset.train_images,
        "val_images": dataset.val_images,
        "test_images": dataset.test_images,
        "side": dataset.side,
        "data_seed": dataset.data_seed,
    }


def _is_written(root: Path, dataset: SyntheticDataset) -> bool:
    """Return whether `root` contains this data set; raise UserError if it contains another."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise UserError(f"data.path: {root} is a file; name a folder for the generated images")
    if not any(root.iterdir()):
        return False
    if differing := _differences(root, dataset):
        raise UserError(
            f"data.path: {root} was generated with other settings ({'; '.join(differing)}); "
            f"choose another data.path or delete the folder"
        )
    return True


def _differences(root: Path, dataset: SyntheticDataset) -> list[str]:
    """Return the settings of `dataset` that the scenes in `root` do not have."""
    written = _read_manifest(root)
    return [
        f"{key} {written.get(key)!r} there, {value!r} needed"
        for key, value in _settings(dataset).items()
        if written.get(key) != value
    ]


def _read_manifest(root: Path) -> dict[str, Any]:
    try:
        return dict(read_json_object(root / MANIFEST)["settings"])
    except (UserError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, UnreadableFileError) and error.is_missing:
            raise UserError(
                f"data.path: {root} is not empty and was not generated by this program "
                f"(no {MANIFEST}); choose another data.path"
            ) from None
        raise UserError(
            f"data.path: {root / MANIFEST} cannot be read; "
            f"choose another data.path or delete the folder"
        ) from None


def _generate(root: Path, dataset: SyntheticDataset) -> None:
    """Write the data set beside `root` and give it that name once whole."""
    root = root.resolve()
    root.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(root)
    unfinished = root.with_name(f"{root.name}.partial-{uuid.uuid4().hex}")
    unfinished.mkdir()
    try:
        content = _write_splits(unfinished, dataset)
        manifest = {"settings": _settings(dataset), "content_sha256": content}
        (unfinished / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _rename_unless_written(unfinished, root, dataset)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _remove_abandoned(root: Path) -> None:
    """Delete folders of killed processes: a live one touches its folder with every image."""
    for folder in root.parent.glob(f"{root.name}.partial-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > ABANDONED_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


def _rename_unless_written(unfinished: Path, root: Path, dataset: SyntheticDataset) -> None:
    try:
        if root.is_dir():
            root.rmdir()
        unfinished.rename(root)
    except OSError:
        if not _is_written(root, dataset):
            raise


def _write_splits(folder: Path, dataset: SyntheticDataset) -> str:
    """Write every image and label; return the SHA-256 over their names and bytes, in order."""
    digest = hashlib.sha256()
    counts = (dataset.train_images, dataset.val_images, dataset.test_images)
    with (
        progress_bar("generating scenes", total=sum(counts), unit="image") as progress,
        ThreadPoolExecutor(available_cores()) as pool,
    ):
        for split, count in zip(SPLITS, counts, strict=True):
            if count:
                (folder / "images" / split).mkdir(parents=True)
                (folder / "labels" / split).mkdir(parents=True)
            for start in range(0, count, AT_ONCE):
                block = range(start, min(start + AT_ONCE, count))
                for files in pool.map(partial(_encoded, dataset, split), block):
                    for name, content in files:
                        (folder / name).write_bytes(content)
                        digest.update(name.encode() + b"\0" + content)
                    os.utime(folder)
                    progress.update()
    return digest.hexdigest()


def _encoded(dataset: SyntheticDataset, split: str, index: int) -> list[tuple[str, bytes]]:
    """Return relative path and content of an image and of its labels.

    All randomness is keyed by (data_seed, split, index), so an image does not depend on how many
    others there are.
    """
    rng = np.random.default_rng((dataset.data_seed, SPLITS.index(split), index))
    scene = render_scene(rng, side=dataset.side, num_classes=len(dataset.class_names))
    quality = int(rng.integers(55, 96))
    bgr = np.ascontiguousarray(scene.image[..., ::-1])
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return [
        (f"images/{split}/{index:06d}.jpg", jpeg.tobytes()),
        (f"labels/{split}/{index:06d}.txt", _label_text(scene).encode()),
    ]


def _label_text(scene: Scene) -> str:
    """Return rows `class cx cy w h`, normalised; rounded so that no box ends outside the image."""
    height, width = scene.image.shape[:2]
    rows = []
    for label, (x1, y1, x2, y2) in zip(scene.labels, scene.boxes.tolist(), strict=True):
        values = (
            (x1 + x2) / 2 / width,
            (y1 + y2) / 2 / height,
            (x2 - x1) / width - ROUNDING,
            (y2 - y1) / height - ROUNDING,
        )
        rows.append(f"{label} " + " ".join(f"{value:.9f}" for value in values) + "\n")
    return "".join(rows)
