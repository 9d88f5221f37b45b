import os
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment, load_dataset
from configs.schema.data import SyntheticDataset, YoloDataset
from tests.configs.conftest import Write

Load = Callable[..., LoadedExperiment]
Faults = Callable[..., list[str]]

PUBLISHED = """
# A data set as published for YOLOv5-style trainers
path: ../images_here  # dataset root dir
train: images/train2017
val: images/val2017
test:  # optional

names:
  0: person
  1: traffic light

download: |
  import os
  open("ran", "w")
"""


def test_a_published_yaml_is_read_unchanged(write: Write, load: Load) -> None:
    write("sets/published.yaml", PUBLISHED)
    loaded = load("data: sets/published.yaml")
    data = loaded.experiment.data
    assert isinstance(data, YoloDataset)
    assert data.class_names == ("person", "traffic light")
    assert data.path == str(Path("images_here").resolve())
    assert data.test is None
    assert loaded.notes == (
        "data.download (sets/published.yaml) is ignored: nothing is downloaded or run",
    )
    assert not Path("ran").exists()
    assert loaded.origins["data.class_names"] == "sets/published.yaml"


def test_names_as_a_list_with_a_count_and_no_path(write: Write, load: Load) -> None:
    write("sets/a.yaml", "train: [t1, t2]\nval: v\nnc: 2\nnames: [cat, dog]\n")
    data = load("data: sets/a.yaml").experiment.data
    assert isinstance(data, YoloDataset)
    assert data.train == ("t1", "t2")
    assert data.path == str(Path("sets").resolve())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("nc: 3\nnames: [a, b]", "data.nc is 3 (d.yaml), but there are 2 class names"),
        ("names: {0: a, 2: b}", "class names (d.yaml) must have the indices 0 to 1, found 0, 2"),
        ("names: {1: a, 2: b}", "class names (d.yaml) must have the indices 0 to 1, found 1, 2"),
        ("names: {a: 0}", "class names (d.yaml) must have the indices 0 to 0, found a"),
        ("names: {0: a, 1: a}", "data (d.yaml:3): class_names contains 'a' more than once"),
        ("names: [a, 3]", 'data.class_names is ["a", 3] (d.yaml:3); must be a list of texts'),
        ("names: [a]\nclass_names: [a]", "data.names and data.class_names (d.yaml) are the same"),
        ("names: a", 'data.class_names is "a" (d.yaml:3); must be a list of texts'),
        ("names: {}", "data.class_names is empty (d.yaml)"),
    ],
)
def test_wrong_names(write: Write, faults: Faults, names: str, message: str) -> None:
    write("d.yaml", f"train: t\nval: v\n{names}\n")
    assert any(line.startswith(message) for line in faults("data: d.yaml"))


def test_names_may_be_a_mapping_in_any_order(write: Write) -> None:
    write("d.yaml", "train: t\nclass_names: {1: b, 0: a}")
    assert load_dataset("d.yaml").class_names == ("a", "b")


def test_inline_data_takes_the_same_words(load: Load) -> None:
    data = load("data: {path: images_here, train: t, val: v, names: {0: a}}").experiment.data
    assert data.class_names == ("a",)


class TestDataFolder:
    def test_beside_the_yaml_then_the_variable_then_datasets(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write("sets/d.yaml", "path: mine\ntrain: t\nclass_names: [a]")
        monkeypatch.setenv("FOCALDET_DATASETS", os.fspath(Path("elsewhere").resolve()))
        for place in ("datasets/mine", "elsewhere/mine", "sets/mine"):
            write(f"{place}/readme", "")
            assert load_dataset("sets/d.yaml").path == str(Path(place).resolve())

    def test_an_error_names_every_place(
        self, write: Write, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write("sets/d.yaml", "path: mine\ntrain: t\nclass_names: [a]")
        monkeypatch.setenv("FOCALDET_DATASETS", "elsewhere")
        with pytest.raises(ConfigError) as caught:
            load_dataset("sets/d.yaml")
        here = Path.cwd().resolve()
        places = [here / "sets/mine", here / "elsewhere/mine", here / "datasets/mine"]
        assert f"tried {', '.join(map(str, places))}, " in str(caught.value)
        assert "data.path 'mine' (sets/d.yaml:1) not found" in str(caught.value)

    def test_on_the_command_line_the_working_directory_comes_first(self, write: Write) -> None:
        write("sets/d.yaml", "path: mine\ntrain: t\nclass_names: [a]")
        write("sets/mine/readme", "")
        write("mine/readme", "")
        assert load_dataset("sets/d.yaml").path == str(Path("sets/mine").resolve())
        stated = load_dataset("sets/d.yaml", ["data.path=mine"])
        assert stated.path == str(Path("mine").resolve())

    def test_an_absolute_path_is_taken_as_it_is(self, write: Write) -> None:
        folder = Path("images_here").resolve()
        write("sets/d.yaml", f"path: {folder}\ntrain: t\nclass_names: [a]")
        assert load_dataset("sets/d.yaml").path == str(folder)

    def test_a_file_is_no_folder(self, write: Write) -> None:
        with pytest.raises(ConfigError, match="not found"):
            load_dataset("data.yaml", ["data.path=graph.yaml"])

    def test_generated_data_needs_no_folder(self, write: Write) -> None:
        data = load_dataset("synthetic")
        assert isinstance(data, SyntheticDataset)
        assert data.path == str(Path("datasets/synthetic").resolve())
        assert not Path(data.path).exists()
