"""The lists of files in docs/architecture.md are what the program really goes through."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from commands.val.cli import parse_val_command
from commands.val.run import evaluate_weights
from configs.reading.load import load_experiment
from data.loading.loader import build_train_batches, open_training_cache
from data.records.load import load_split
from data.synthetic.generate import ensure_written
from tests.commands.tiny_weights import write_data_set, write_weights

ROOT = Path(__file__).parents[1]

HEADING = re.compile(r"^.*?([^.\n]*), (\d+) files:\n\n((?:- .*\n(?:  .*\n)*)+)", re.MULTILINE)
ASIDE = {
    "data/augment/rng.py": "random numbers",
    "data/formats/box_units.py": "formats whose boxes may be shares or pixels",
    "data/formats/class_names.py": "names of classes",
    "data/formats/sources.py": "which folders a split has",
    "data/images/letterbox.py": "arithmetic of sizes",
    "data/index_cache.py": "the index of the run before",
    "data/intake/class_names.py": "names of classes",
    "data/loading/image_weights.py": "order of an epoch",
    "data/records/class_changes.py": "names of classes",
}
"""Files of `data` that run while an image passes, without handing it on, and what they are for."""


def walks() -> dict[str, list[str]]:
    text = (ROOT / "docs/architecture.md").read_text()
    found = {}
    for title, count, lines in HEADING.findall(text):
        files = re.findall(r"`([\w/]+\.py)`", lines)
        assert len(files) == int(count), f"{title} lists {len(files)} files, not {count}"
        found[title.strip()] = files
    return found


@pytest.mark.parametrize("title", ["Image to loss", "Prediction to AP", "Checkpoint to val"])
def test_no_file_is_passed_twice_or_missing(title: str) -> None:
    files = walks()[title]
    assert len(set(files)) == len(files)
    assert [file for file in files if not (ROOT / file).is_file()] == []


@contextmanager
def noting_files() -> Iterator[set[str]]:
    """Collect the files of this repository whose functions are called."""
    seen: set[str] = set()
    names: dict[Any, str | None] = {}

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if code not in names:
            path = Path(code.co_filename)
            is_ours = path.is_relative_to(ROOT) and not code.co_name.startswith("<")
            names[code] = path.relative_to(ROOT).as_posix() if is_ours else None
        name = names[code]
        if name is not None:
            seen.add(name)

    before: Callable[..., object] | None = sys.getprofile()
    sys.setprofile(note)
    try:
        yield seen
    finally:
        sys.setprofile(before)


def test_an_image_passes_the_listed_files_and_no_others(tmp_path: Path) -> None:
    overrides = (
        *("data.train_images=3", "data.val_images=2", "data.test_images=1", "data.side=96"),
        *("train.image_size=96", "train.batch_size=2", "train.workers=0", "train.epochs=2"),
        *(f"data.path={tmp_path}/scenes", "data.cache=false", "augment.mosaic=1"),
    )
    experiment = load_experiment(ROOT / "configs/quickstart.yaml", overrides).experiment
    dataset = ensure_written(experiment.data)  # type: ignore[arg-type]
    with noting_files() as while_loading:
        records = load_split(dataset, "train").records
    cache = open_training_cache(experiment.train, records, records, stride=32)
    batches = build_train_batches(records, experiment, stride=32, cache=cache)
    with noting_files() as while_training:
        next(batches.epoch(0))
    passed = {name for name in while_loading | while_training if name.startswith("data/")}
    listed = {name for name in walks()["Image to loss"] if name.startswith("data/")}
    assert listed <= passed
    assert passed - listed == set(ASIDE)


@pytest.mark.slow
def test_weights_pass_the_listed_files(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "best.safetensors")
    data = write_data_set(tmp_path / "data", weights, count=2)
    arguments = ["--weights", str(weights), "--data", str(data), "train.workers=0"]
    command = parse_val_command(arguments)
    with noting_files() as passed:
        evaluate_weights(command)
    assert set(walks()["Checkpoint to val"]) <= passed
