"""From `convert.py --get` to a finished fine-tuning run, against a server on loopback."""

import csv
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from commands.convert.cli import ConvertCommand
from commands.convert.fetch import fetch_weights
from commands.train.cli import TrainCommand
from commands.train.start import start_training
from tests.published_files import NAME, write_catalogue
from tests.run_programs import TINY, run, train, weights_digest, write_dataset
from tests.utils.runtime.file_server import Behaviour, serve
from utils.checkpoint.weights import load_weights
from utils.engine.hook import Hook
from utils.engine.run import Run, TrainingStopped

pytestmark = pytest.mark.slow

SIZE = 96


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "scenes")


@pytest.fixture(scope="module")
def content(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Weights that know the classes of the data, as a site would publish them."""
    runs = tmp_path_factory.mktemp("origin")
    return (train(dataset, runs, "train.epochs=1") / "best.safetensors").read_bytes()


@pytest.fixture
def address(
    dataset: Path, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    monkeypatch.setenv("FOCALDET_WEIGHTS", str(tmp_path / "site"))
    monkeypatch.setenv("FOCALDET_DATASETS", str(dataset.parent))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(Behaviour(content=content, break_after=[20_000])) as server:
        write_catalogue(tmp_path / "site", server.address, content, image_size=SIZE)
        yield server.address


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_from_a_name_to_a_finished_run(address: str, dataset: Path, tmp_path: Path) -> None:
    # The size comes with the name, all else of a run of seconds is stated.
    stated = [part for part in TINY if not part.startswith("train.image_size=")]

    def tune(name: str, *settings: str) -> CompletedProcess[str]:
        return run(
            "train.py", *stated, f"data.path={dataset}", f"model.weights={NAME}",
            "train.epochs=2", f"run.folder={tmp_path}", f"run.name={name}", *settings,
        )  # fmt: skip

    refused = run("train.py", *stated, f"data.path={dataset}", f"model.weights={NAME}")
    assert refused.returncode == 2
    assert f"python convert.py --get {NAME}" in refused.stderr
    assert refused.stderr.strip().count("\n") <= 1

    fetched = run("convert.py", "--get", NAME)
    assert fetched.returncode == 0, fetched.stderr
    assert f"model.weights={NAME}" in fetched.stdout

    done = tune("with")
    assert done.returncode == 0, done.stderr
    assert "epoch 0/2  before training" in done.stderr
    history = rows(tmp_path / "with")
    assert [row["epoch"] for row in history] == ["0", "1", "2"]
    config = (tmp_path / "with" / "config.yaml").read_text()
    assert f"weights: {NAME}" in config
    assert f"image_size: {SIZE} " in config
    report = (tmp_path / "with" / "report.html").read_text()
    assert "before training" in report

    without = tune("without", "eval.before_training=false")
    assert without.returncode == 0, without.stderr
    assert [row["epoch"] for row in rows(tmp_path / "without")] == ["1", "2"]
    assert weights_digest(tmp_path / "with") == weights_digest(tmp_path / "without")

    judged = run(
        "val.py", "--weights", NAME, "--json", tmp_path / "val.json", f"train.image_size={SIZE}"
    )
    assert judged.returncode == 0, judged.stderr
    for part in (NAME, "licence MIT", "https://example.org/helmets", "SHA-256"):
        assert part in judged.stderr
    assert json.loads((tmp_path / "val.json").read_text())["map50_95"] == pytest.approx(
        float(history[0]["map50_95"]), abs=1e-9
    )


def test_from_the_real_file_of_yolox_nano_to_a_finished_run(
    dataset: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = (shared / "weights" / "yolox_nano_0.1.1rc0.onnx").read_bytes()
    monkeypatch.setenv("FOCALDET_WEIGHTS", str(tmp_path / "site"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve(Behaviour(content=published, break_after=[1_000_000])) as server:
        write_catalogue(
            tmp_path / "site", server.address, published, name="yolox-nano", licence="Apache-2.0",
            urls=[f"{server.address}/yolox_nano.onnx"], graph="models/yolox-nano.yaml",
            settings="starts/yolox.yaml", image_size=416,
        )  # fmt: skip
        fetched = run("convert.py", "--get", "yolox-nano")
    assert fetched.returncode == 0, fetched.stderr
    names = ["person", "sail", "truck", "kite", "flag", "mast"]  # three that the weights know
    (dataset / "coco_names.yaml").write_text(
        f"path: {dataset}\nnames: {names}\ntrain: images/train\nval: images/val\n"
    )
    # The name brings the network, too.
    stated = [part for part in TINY if not part.startswith(("data.", "model.graph="))]
    done = run(
        "train.py", *stated, f"data={dataset / 'coco_names.yaml'}", "model.weights=yolox-nano",
        "train.epochs=1", f"run.folder={tmp_path}", "run.name=x",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "class weights for 3 of 6 classes: person, truck, kite" in done.stderr
    assert "norms that were folded into convolutions" in done.stderr
    assert [row["epoch"] for row in rows(tmp_path / "x")] == ["0", "1"]
    _, metadata = load_weights(tmp_path / "x" / "best.safetensors")
    assert metadata["class_names"] == names


class StopAfter(Hook):
    """Asks the process to stop after an epoch, as a person does with Ctrl-C."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def after_epoch(self, run: Run) -> None:
        if run.epoch == self.epoch:
            signal.raise_signal(signal.SIGINT)


def test_a_stopped_run_goes_on_exactly_and_without_the_weights(
    address: str, dataset: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "site" / f"{NAME}.safetensors"
    fetch_weights(ConvertCommand(get=NAME))
    stated = (*TINY[2:], f"data.path={dataset}", f"model.weights={NAME}", "train.epochs=2",
              f"run.folder={tmp_path}")  # fmt: skip
    start_training(TrainCommand(Path(TINY[1]), (*stated, "run.name=straight"), None))
    stopped = TrainCommand(Path(TINY[1]), (*stated, "run.name=stopped"), None)
    with pytest.raises(TrainingStopped):
        start_training(stopped, [StopAfter(1)])
    weights.unlink()
    start_training(TrainCommand(None, (), tmp_path / "stopped"))
    assert weights_digest(tmp_path / "stopped") == weights_digest(tmp_path / "straight")
    both = [
        [{key: row[key] for key in row if key not in ("images_per_second", "seconds")}
         for row in rows(tmp_path / name)]
        for name in ("straight", "stopped")
    ]  # fmt: skip
    assert both[0] == both[1]
    assert [row["epoch"] for row in both[1]] == ["0", "1", "2"]
