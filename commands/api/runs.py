"""Train, evaluate, export and compare from Python, as the programs of these names."""

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from commands.compare.run import compare as run_comparison
from commands.export.cli import parse_export_command
from commands.export.run import export as write_exports
from commands.parser import wrong_usage_raises
from commands.train.cli import TrainCommand
from commands.train.start import start_training
from commands.val.cli import parse_val_command
from commands.val.run import evaluate_weights
from configs.reading.design import load_design
from configs.reading.overrides import as_overrides, choose_recipe
from utils.checkpoint.state import has_state
from utils.engine.hook import Hook
from utils.engine.run import Run as TrainingRun
from utils.engine.run import TrainingStopped
from utils.runtime.errors import UserError
from utils.runtime.files.json_file import read_json_object
from utils.runtime.files.run_folder import RunFolder, open_run_folder
from utils.runtime.progress import start_logging
from utils.structures.results import EvalResult

Value = float | str | None


@dataclass(frozen=True, slots=True, init=False)
class Run:
    """A run: the folder written by training, and its contents.

    It can be given wherever weights are needed; its best weights are used then.
    """

    folder: Path

    def __init__(self, folder: Path | str) -> None:
        object.__setattr__(self, "folder", Path(folder))

    def __fspath__(self) -> str:
        return str(self.best)

    @property
    def best(self) -> Path:
        """The weights of the best epoch, a .safetensors file."""
        return RunFolder(self.folder).best

    @property
    def report(self) -> Path:
        """The report of the run, report.html."""
        return RunFolder(self.folder).report

    @property
    def results(self) -> dict[str, Any]:
        """The final metrics, as in results.json.

        Raises:
            UserError: the run has not ended yet.
        """
        return read_json_object(RunFolder(self.folder).results)

    @property
    def metrics(self) -> dict[str, list[Value]]:
        """The table of metrics.csv, one list a column, one entry an epoch; None where empty. Its
        first entry is epoch 0 where the start was evaluated.

        `pandas.DataFrame(run.metrics)` makes a data frame of it.
        """
        with RunFolder(self.folder).metrics.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = list(rows[0]) if rows else []
        return {name: [_value(row[name]) for row in rows] for name in names}

    def resume(self, *, hooks: Sequence[Hook] = (), **settings: Any) -> "Run":
        """Resume the run where it stopped; `settings` are changed, such as train.epochs.

        Raises:
            UserError, ConfigError: the run cannot be resumed, or a setting cannot be changed.
            KeyboardInterrupt: interrupted, as in `train`.
        """
        return _start(TrainCommand(None, as_overrides(settings), self.folder), hooks)


def train(
    cfg: str | Path | None = None,
    data: str | Path | Mapping[str, Any] | None = None,
    *,
    hooks: Sequence[Hook] = (),
    **settings: Any,
) -> Run:
    """Train a detector and return the run.

    Args:
        cfg: an experiment, a YAML or the name of a shipped one; where None, the recipe that
            fits `data`.
        data: a data YAML, a folder, a .zip, a COCO JSON: anything that `train.py data=` takes; or
            keys of that section.
        hooks: objects whose methods are called before, during and after the training.
        settings: of the experiment, by section: `train={"epochs": 20}`, or with dots:
            `**{"train.epochs": 20}`.

    Raises:
        UserError, ConfigError: something that you can fix, in one line each.
        KeyboardInterrupt: interrupted, by Ctrl-C or in a notebook; the message has the line that
            continues.
    """
    if isinstance(data, Mapping):
        settings["data"] = dict(data)
    overrides = as_overrides(settings)
    if data is not None and not isinstance(data, Mapping):
        overrides = (f"data={json.dumps(str(data))}", *overrides)
    if cfg is None:
        if data is None:
            raise UserError("train needs data=FOLDER or cfg=FILE")
        cfg = choose_recipe(overrides)
    return _start(TrainCommand(Path(cfg), overrides, None), hooks)


def val(
    weights: str | Path | Run,
    data: str | Path | None = None,
    *,
    split: Literal["train", "val", "test"] = "val",
    trust: bool = False,
    **settings: Any,
) -> EvalResult:
    """Evaluate weights on a split of a data set and return the metrics.

    Args:
        weights: a run, a weights file or an exported file.
        data: a data YAML, a folder, ...; that of the training where None.
        split: train, val or test.
        trust: run weights that are a program, such as .torchscript.
        settings: of sections eval, train and model, as in `train`.

    Raises:
        UserError, ConfigError: something that you can fix, in one line each.
    """
    arguments = ["--weights", _weights(weights), "--split", split, *as_overrides(settings)]
    if data is not None:
        arguments += ["--data", str(data)]
    _show_log()
    with wrong_usage_raises():
        command = parse_val_command([*arguments, *(["--trust"] * trust)])
    return evaluate_weights(command).result


def export(
    weights: str | Path | Run,
    format: str | Sequence[str] = "onnx",  # the name that export.py has for it
    *,
    nms: bool = False,
    int8: bool = False,
    like_val: bool = False,
    output: str | Path | None = None,
    trust: bool = False,
    **settings: Any,
) -> tuple[Path, ...]:
    """Write weights for other programs, each checked against PyTorch; return the files.

    Arguments are called as the options of export.py.

    Args:
        weights: a run's folder, its .safetensors, or a released .pt.
        format: one or some of onnx, openvino, torchscript, tensorrt.
        nms: include NMS and its thresholds in the file; onnx and openvino.
        int8: write a second file with int8 convolutions, for CPUs and NPUs; onnx and openvino.
        like_val: use the eval section of the training, so that `nms` gives the results of val.py.
        output: a folder; beside the weights if not given.
        trust: import the module that weights name for blocks of their own; only for weights of
            people you trust.
        settings: of sections eval, train and model, as in `train`.

    Raises:
        UserError, ConfigError: something that you can fix, in one line each.
    """
    names = format if isinstance(format, str) else ",".join(format)
    arguments = ["--weights", _weights(weights), "--format", names, *as_overrides(settings)]
    arguments += ["--nms"] * nms + ["--int8"] * int8 + ["--like-val"] * like_val
    arguments += ["--trust"] * trust + ([] if output is None else ["--output", str(output)])
    _show_log()
    with wrong_usage_raises():
        command = parse_export_command(arguments)
    return write_exports(command)


def compare(cfg: str | Path, **settings: Any) -> Path:
    """Run a comparison, or resume it; return its folder with report.html.

    Args:
        cfg: a design, a YAML.
        settings: of the design, or of all its arms.

    Raises:
        UserError, ConfigError: something that you can fix, in one line each.
    """
    _show_log()
    return run_comparison(load_design(cfg, as_overrides(settings)))


class _Witness(Hook):
    """Sees the training run, so that an interruption can name its folder."""

    def __init__(self) -> None:
        self.run: TrainingRun | None = None

    def before_training(self, run: TrainingRun) -> None:
        self.run = run


def _start(command: TrainCommand, hooks: Sequence[Hook]) -> Run:
    _show_log()
    witness = _Witness()
    try:
        folder = start_training(command, (witness, *hooks))
    except KeyboardInterrupt as interruption:
        is_saved = isinstance(interruption, TrainingStopped)
        raise _interrupted(witness.run, is_saved=is_saved) from None
    if folder is None:
        raise RuntimeError("training returned no folder")
    return Run(open_run_folder(folder.path).path)


def _interrupted(run: TrainingRun | None, *, is_saved: bool) -> KeyboardInterrupt:
    """Return what to raise after Ctrl-C: where the training is, and how it goes on."""
    if run is None or not has_state(run.folder.last):
        return KeyboardInterrupt("interrupted before a state was saved; the same call starts again")
    resume = f"focaldet.Run({str(run.folder.path)!r}).resume()"
    if is_saved:
        return TrainingStopped(f"stopped at {run.place}, the state is saved; {resume} continues")
    return TrainingStopped(
        f"interrupted at {run.place}; {resume} continues from the last checkpoint"
    )


def _weights(weights: str | Path | Run) -> str:
    return str(weights.best if isinstance(weights, Run) else weights)


def _show_log() -> None:
    """Show the log of the programs, unless the caller has configured logging."""
    if not logging.getLogger().handlers:
        start_logging()


def _value(text: str | None) -> Value:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text
