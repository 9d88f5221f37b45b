"""Pictures to check and calibrate an export, and the AP of int8 against float32."""

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from commands.build.detector import LoadedDetector
from commands.build.evaluation import evaluate_once
from commands.build.exported import ExportedDetector
from commands.build.predictor import prediction_settings
from commands.build.stored_settings import stored_settings, with_data_found
from commands.export.cli import DataSplit, ExportCommand
from configs.errors import ConfigError
from configs.reading.load import experiment_from_mapping, load_dataset
from configs.schema.data import Dataset
from data.formats.files import is_image_name, list_files
from data.images.io import read_image
from data.loading.framing import Framing
from data.records.load import SplitName, load_split
from data.synthetic import CLASS_NAMES, render_scene
from models.weights.checkpoint import check_class_names
from utils.runtime.errors import UserError
from utils.structures.batch import Batch
from utils.structures.images import ImageArray

logger = logging.getLogger(__name__)

NUM_CHECKED = 4
NUM_CALIBRATED = 128


def check_pictures(
    named: Sequence[Path],
    loaded: LoadedDetector,
    image_size: int,
    calibration: DataSplit | None = None,
) -> list[ImageArray]:
    """Return pictures (H, W, 3) to compare outputs on, a few.

    Args:
        named: images and folders; where empty, images of `calibration`, else validation images of
            the weights' own data, else, where those are not here, generated scenes.
        loaded: metadata and class names are read.
        image_size: long side of generated scenes, pixels.
        calibration: data set and split.

    Raises:
        UserError, ConfigError: nothing that is named can be read.
    """
    if named:
        return [read_image(path) for path in _files(named)[:NUM_CHECKED]]
    if calibration is not None:
        records = load_split(load_dataset(calibration.data), calibration.split).records
        return [read_image(record.path, record.depth) for record in _spread(records, NUM_CHECKED)]
    dataset = _own_data(loaded)
    if dataset is not None and dataset.format != "synthetic":
        try:
            records = load_split(dataset, "val").records
            return [
                read_image(record.path, record.depth) for record in _spread(records, NUM_CHECKED)
            ]
        except UserError as error:
            logger.info("checked on generated images: %s", error)
    num_classes = min(len(loaded.class_names), len(CLASS_NAMES))
    return [
        render_scene(np.random.default_rng(index), side=image_size, num_classes=num_classes).image
        for index in range(NUM_CHECKED)
    ]


def check_batches(pictures: Sequence[ImageArray], framing: Framing) -> list[Batch]:
    """Return each picture alone in its own shape, and all in one square batch of half the size."""
    half = max(1, framing.image_size // framing.stride // 2) * framing.stride
    small = Framing(image_size=half, stride=framing.stride, rectangular=False)
    return [*(framing.batch([picture]) for picture in pictures), small.batch(pictures)]


def calibration_batches(
    named: DataSplit | None, loaded: LoadedDetector, framing: Framing
) -> Iterator[npt.NDArray[np.float32]]:
    """Return an iterator of pictures (1, 3, H, W) in [0, 1], as in evaluation.

    Args:
        named: data set and split; the training split of the weights' own data where None.
        loaded: metadata are read.
        framing: of evaluation.

    Raises:
        UserError, ConfigError: there are no such images.
    """
    dataset = _own_data(loaded) if named is None else load_dataset(named.data)
    split: SplitName = "train" if named is None else named.split
    if dataset is None:
        raise UserError(
            "--int8 needs images of your data to measure ranges on; name them with "
            "--calibration-data, such as --calibration-data coco128/train"
        )
    found = load_split(dataset, split, may_generate=named is not None)
    records = _spread(found.records, NUM_CALIBRATED)
    logger.info("int8: ranges are measured on %d images", len(records))
    return (
        framing.batch([read_image(record.path, record.depth)]).pixels().numpy()
        for record in records
    )


def _own_data(loaded: LoadedDetector) -> Dataset | None:
    stored = stored_settings(loaded.metadata)
    if "data" not in stored:
        return None
    try:
        return experiment_from_mapping(with_data_found(stored, loaded.source)).data
    except (ConfigError, UserError) as error:
        logger.info("the data set that the weights name cannot be used: %s", error)
        return None


def _files(named: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in named:
        if path.is_dir():
            found = sorted(name for name in list_files(path) if is_image_name(name))
            if not found:
                raise UserError(f"--check-images {path}: no image in this folder")
            files += map(Path, found)
        elif path.is_file():
            files.append(path)
        else:
            raise UserError(f"--check-images {path}: no such file or folder")
    return files


def _spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return at most `count` items at equal distances."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]


def int8_cost(
    command: ExportCommand, loaded: LoadedDetector, write_cells: Callable[[Path], None]
) -> str:
    """Evaluate both as val.py does and return the AP and their difference in words.

    Args:
        command: `data`, which is set, and the settings but those of section `eval`.
        loaded: the weights.
        write_cells: writes the int8 network without suppression to an .onnx file.

    Raises:
        UserError, ConfigError: the data cannot be used with these weights.
    """
    if command.data is None:
        raise ValueError("there is no data to evaluate on")
    named = command.data
    split = load_split(load_dataset(named.data), named.split)
    check_class_names(loaded.class_names, split.class_names, source=str(command.weights))
    others = [each for each in command.overrides if not each.startswith("eval.")]
    experiment = prediction_settings(loaded, others, like_val=True)
    single, _ = evaluate_once(loaded.own_detector(command.weights), split, experiment)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        write_cells(path)
        int8, _ = evaluate_once(ExportedDetector(path), split, experiment)
    return (
        f"AP on {named.data}/{named.split}: float32 {single.map50_95:.4f}, "
        f"int8 {int8.map50_95:.4f}, difference {int8.map50_95 - single.map50_95:+.4f}"
    )
