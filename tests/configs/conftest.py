"""A small experiment on disk for every test that loads one."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment, load_experiment

GRAPH = """
nc: 80
anchors: [[10, 13, 16, 30], [30, 61, 62, 45], [116, 90, 156, 198]]
backbone: [[-1, 1, Conv, [64, 6, 2, 2]]]
head: [[[0, 0, 0], 1, Detect, [nc, anchors]]]
"""
DATA = """
path: images_here
class_names: [cat, dog]
train: images/train
val: images/val
"""

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write YAMLs into the working directory, which has graph.yaml, data.yaml and a folder."""

    def _write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FOCALDET_DATASETS", raising=False)
    (tmp_path / "images_here").mkdir()
    _write("graph.yaml", GRAPH)
    _write("data.yaml", DATA)
    return _write


@pytest.fixture
def load(write: Write) -> Callable[..., LoadedExperiment]:
    """Load an experiment of the given text, which names data set and graph already."""

    def _load(text: str = "", overrides: Sequence[str] = ()) -> LoadedExperiment:
        head = "data: data.yaml\n" if "data:" not in text else ""
        graph = "model: {graph: graph.yaml}\n" if "model:" not in text else ""
        write("experiment.yaml", text + "\n" + head + graph)
        return load_experiment("experiment.yaml", overrides)

    return _load


@pytest.fixture
def faults(load: Callable[..., LoadedExperiment]) -> Callable[..., list[str]]:
    """Return the lines of the error that loading such an experiment raises."""

    def _faults(text: str = "", overrides: Sequence[str] = ()) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(text, overrides)
        return str(caught.value).splitlines()

    return _faults
