"""What int8 costs: the AP of the weights and of their int8 file on one data set."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from commands.build.detector import LoadedDetector
from commands.build.evaluation import evaluate_once
from commands.build.exported import ExportedDetector
from commands.build.predictor import prediction_settings
from commands.export.cli import ExportCommand
from configs.reading.load import load_dataset
from data.records.load import load_split
from models.weights.checkpoint import check_class_names


def int8_cost(
    command: ExportCommand, loaded: LoadedDetector, write_cells: Callable[[Path], None]
) -> str:
    """Judge both as val.py does and return the AP and their difference in words.

    Args:
        command: `data`, which is set, and the settings but those of section `eval`.
        loaded: the weights.
        write_cells: writes the int8 network without suppression to an .onnx file.

    Raises:
        UserError, ConfigError: the data cannot be used with these weights.
    """
    if command.data is None:
        raise ValueError("there is no data to judge on")
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
