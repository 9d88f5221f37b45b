"""The catalogue of published weights, and what a name in `model.weights` brings."""

from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.reading.load import load_experiment
from configs.reading.weights.published import CATALOGUE, read_published
from tests.published_files import NAME, write_catalogue

DATA = "data: {format: yolo, path: ., train: images, class_names: [a, b]}\n"
STARTS = "loss: {box: {name: giou}}\nmodel: {anchors: graph}\n"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    monkeypatch.setenv("FOCALDET_WEIGHTS", str(folder))
    write_catalogue(folder, "http://x", b"", settings="starts.yaml", bytes=1)
    (folder / "starts.yaml").write_text(STARTS)
    (tmp_path / "images").mkdir()
    return tmp_path


def experiment(site: Path, text: str) -> Path:
    path = site / "mine.yaml"
    path.write_text(DATA + text)
    return path


def test_the_shipped_catalogue_states_what_a_person_must_know() -> None:
    entries = read_published()
    assert {f"yolox-{size}" for size in ("nano", "tiny", "s", "m", "l", "x")} <= set(entries)
    for name, entry in entries.items():
        assert entry.licence in ("Apache-2.0", "MIT", "BSD-3-Clause"), name
        assert entry.urls[0].startswith("https://"), name
        assert "COCO" in entry.trained_on, name
        assert entry.settings is None or (CATALOGUE.parent / entry.settings).is_file(), name
        if entry.bytes is not None:
            assert entry.bytes / 1e6 > 3 * entry.parameters, name
        if "openmmlab" in entry.urls[0]:  # names end in the first digits of their checksum
            assert (entry.sha256 or "").startswith(entry.urls[0][-12:-4]), name


def test_a_name_brings_network_size_and_losses_beneath_whoever_states_it(site: Path) -> None:
    base = experiment(site, "base: presets/finetune.yaml\ntrain: {image_size: 640}\n")
    loaded = load_experiment(base, [f"model.weights={NAME}", "loss.box.gain=0.3"])
    settings = loaded.experiment
    assert settings.model.weights == NAME
    assert (settings.train.image_size, settings.model.anchors) == (64, "graph")
    assert (settings.loss.box.name, settings.loss.box.gain) == ("giou", 0.3)
    assert loaded.graph_path.name == "yolov5n.yaml"
    assert loaded.origins["train.image_size"] == f"weights {NAME}"
    assert any(NAME in note for note in loaded.notes)


def test_what_is_stated_beside_the_name_or_above_goes_before_it(site: Path) -> None:
    path = experiment(
        site,
        f"model: {{weights: {NAME}, graph: models/yolov5s.yaml}}\ntrain: {{image_size: 96}}\n",
    )
    loaded = load_experiment(path)
    assert loaded.graph_path.name == "yolov5s.yaml"
    assert loaded.experiment.train.image_size == 96
    assert loaded.experiment.loss.box.name == "giou"
    assert load_experiment(path, ["train.image_size=128"]).experiment.train.image_size == 128


def test_the_last_statement_of_the_weights_counts(site: Path) -> None:
    path = experiment(site, f"model: {{weights: {NAME}}}\n")
    loaded = load_experiment(path, ["model.weights=null"])
    assert loaded.experiment.model.weights is None
    assert loaded.experiment.train.image_size == 640
    (site / "x.safetensors").write_bytes(b"")
    loaded = load_experiment(path, [f"model.weights={site / 'x.safetensors'}"])
    assert loaded.experiment.train.image_size == 640


def test_a_file_of_that_name_goes_before_the_name(site: Path) -> None:
    (site / NAME).write_bytes(b"")
    loaded = load_experiment(experiment(site, f"model: {{weights: {NAME}}}\n"))
    assert loaded.experiment.model.weights == str(site / NAME)
    assert loaded.experiment.train.image_size == 640


def test_what_a_run_wrote_down_reads_as_it_was(site: Path) -> None:
    loaded = load_experiment(experiment(site, f"model: {{weights: {NAME}}}\n"))
    (site / "config.yaml").write_text(loaded.to_yaml())
    again = load_experiment(site / "config.yaml")
    assert again.experiment == loaded.experiment
    assert again.hash == loaded.hash


def test_a_mistake_in_a_catalogue_names_its_place(site: Path) -> None:
    write_catalogue(site / "site", "http://x", b"", bytes=1, sha256="xyz")
    with pytest.raises(ConfigError, match=rf"catalogue.yaml: {NAME}.*sha256|sha256"):
        read_published()
    write_catalogue(site / "site", "http://x", b"", bytes=1, urls=["http://x/download?id=3"])
    with pytest.raises(ConfigError, match="the first of urls must end in"):
        read_published()
    write_catalogue(site / "site", "http://x", b"", bytes=1, settings="none.yaml")
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_experiment(experiment(site, f"model: {{weights: {NAME}}}\n"))


@pytest.mark.parametrize("name", sorted(read_published()))
def test_every_shipped_name_starts_a_configuration(name: str, site: Path) -> None:
    entry = read_published()[name]
    if not (CATALOGUE.parent.parent / entry.graph).is_file():
        pytest.skip(f"{entry.graph} is not here")
    loaded = load_experiment(
        experiment(site, "base: presets/finetune.yaml\n"), [f"model.weights={name}"]
    )
    assert loaded.graph_path.stem == Path(entry.graph).stem


def test_an_entry_of_the_site_goes_before_the_shipped_one(site: Path) -> None:
    write_catalogue(site / "site", "http://x", b"", bytes=1, name="yolox-tiny")
    entries = read_published()
    assert entries["yolox-tiny"].title == "Helmets"
    assert entries["yolox-tiny"].folder == str(site / "site")
    assert entries["yolox-s"].folder == str(CATALOGUE.parent)
