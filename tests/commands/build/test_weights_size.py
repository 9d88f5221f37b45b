"""`train.image_size: auto`: the size of the weights, fixed before the run and kept in it."""

from pathlib import Path

import pytest

from commands.build.weights_size import stated_size, with_size_of_weights
from configs.reading.derive import derive
from configs.reading.load import load_experiment
from tests.commands.tiny_weights import IMAGE_SIZE, write_weights

TEXT = (
    "base: presets/finetune.yaml\ndata: {format: yolo, path: ., train: images, class_names: [a]}\n"
)


def experiment(folder: Path, text: str) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(TEXT + text)
    return folder / "mine.yaml"


def test_auto_is_the_size_of_the_weights_and_stays_when_they_are_gone(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "w.safetensors")
    text = f"model: {{weights: {weights}}}\ntrain: {{image_size: auto}}\n"
    loaded = with_size_of_weights(load_experiment(experiment(tmp_path, text)))
    assert loaded.experiment.train.image_size == IMAGE_SIZE
    assert any("w.safetensors" in note for note in loaded.notes)
    (tmp_path / "config.yaml").write_text(derive(loaded, num_images=9).to_yaml())
    weights.unlink()
    again = load_experiment(tmp_path / "config.yaml")
    assert derive(again, num_images=9).experiment.train.image_size == IMAGE_SIZE
    assert again.hash == loaded.hash == derive(loaded, num_images=9).hash


def test_a_stated_number_stays(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "w.safetensors")
    text = f"model: {{weights: {weights}}}\ntrain: {{image_size: auto}}\n"
    loaded = load_experiment(experiment(tmp_path, text), ["train.image_size=320"])
    assert with_size_of_weights(loaded) is loaded
    assert loaded.experiment.train.image_size == 320


@pytest.mark.parametrize("weights", ["null", "gone.safetensors", "foreign.pt"])
def test_where_nothing_says_it_it_is_the_usual_one(weights: str, tmp_path: Path) -> None:
    (tmp_path / "foreign.pt").write_bytes(b"x")
    text = f"model: {{weights: {weights}}}\ntrain: {{image_size: auto}}\n"
    loaded = with_size_of_weights(load_experiment(experiment(tmp_path, text)))
    assert loaded.experiment.train.image_size == 640


def test_a_size_that_no_network_takes_is_rounded_up(tmp_path: Path) -> None:
    for size, expected in ((100, 128), (1, 32), (416, 416)):
        weights = tmp_path / f"{size}.safetensors"
        content = write_weights(weights).read_bytes()
        old, new = rb"\"image_size\": 64", rb"\"image_size\": %2d" % size
        assert content.count(old) == 1
        weights.write_bytes(content.replace(old, new))
        text = f"model: {{weights: {weights}}}\ntrain: {{image_size: auto}}\n"
        loaded = with_size_of_weights(load_experiment(experiment(tmp_path, text)))
        assert loaded.experiment.train.image_size == expected


@pytest.mark.parametrize(
    "content",
    [b"", b"\x05", b"\xff" * 40, (2).to_bytes(8, "little") + b"{}", (9).to_bytes(8, "little")
     + b'{"__meta', (4).to_bytes(8, "little") + b"[[1]"],
)  # fmt: skip
def test_a_damaged_file_says_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    assert stated_size(tmp_path / "w.safetensors") is None
