"""Loggers of other makers, read back by their own clients."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import free_port
from tests.utils.engine.toy import toy_trainer
from utils.engine.hook import Hook
from utils.engine.hooks.remote_log import RemoteLog, flat_settings, require_logger
from utils.engine.hooks.tensorboard import TensorBoard
from utils.engine.run import Run, TrainingStopped
from utils.metrics.scored import ScoredDetections
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import RunFolder

CONFIG = """
train: {epochs: 3, optimizer: {name: sgd, lr: 0.01}}
run: {notes: "the first try", tags: [night, baseline]}
data: {class_names: [a, b]}
"""


class Shown:
    """An evaluation of two images and three detections."""

    class_names = ("a", "b")

    def pictures(self, most: int) -> Iterator[tuple[str, Any]]:
        for name in ("x.jpg", "y.jpg")[:most]:
            yield name, np.full((8, 16, 3), 200, np.uint8)

    def scored(self) -> ScoredDetections:
        return ScoredDetections(
            scores=np.array([0.9, 0.6, 0.3]),
            labels=np.array([0, 1, 0]),
            image=np.array([0, 0, 1]),
            right=np.array([True, False, True]),
            overlap=np.array([0.8, 0.0, 0.7]),
            truths=np.array([2, 1]),
            num_images=2,
        )


class StopsInEpoch2(Hook):
    def after_step(self, run: Run, losses: object) -> None:
        if run.epoch == 2:
            raise TrainingStopped


def train_toy(path: Path, *hooks: Hook, resume: bool = False, **changes: Any) -> RunFolder:
    trainer = toy_trainer(path, hooks=hooks, **changes)
    folder = RunFolder(path)
    folder.config.write_text(CONFIG)
    trainer.current.evidence = Shown()
    if resume:
        trainer.resume()
    trainer.run()
    return folder


def test_settings_are_flat(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    assert flat_settings(RunFolder(tmp_path)) == {
        "train.epochs": 3,
        "train.optimizer.name": "sgd",
        "train.optimizer.lr": 0.01,
        "run.notes": "the first try",
        "run.tags": ["night", "baseline"],
        "data.class_names": ["a", "b"],
    }


def test_a_missing_package_is_one_line() -> None:
    with pytest.raises(UserError, match=r"needs the package x-y: pip install x-y, .*\[loggers\]"):
        require_logger("no_such_module_anywhere", "x-y")


class Broken(RemoteLog):
    name = "Nowhere"

    def __init__(self, fails_in: str) -> None:
        super().__init__()
        self.fails_in, self.calls = fails_in, []

    def _do(self, moment: str) -> None:
        self.calls.append(moment)
        if moment == self.fails_in:
            raise ConnectionError("refused\nby server")

    def open(self, run: Run) -> str:
        self._do("open")
        return "id"

    def log(self, run: Run, numbers: dict[str, float]) -> None:
        self._do("log")

    def close(self, run: Run) -> None:
        self._do("close")


def test_a_server_that_goes_away_costs_the_log_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hook = Broken("log")
    train_toy(tmp_path, hook)
    assert hook.calls == ["open", "log"]
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        "Nowhere failed and gets no more data of this run, which goes on: ConnectionError: "
        "refused by server"
    ]


def test_a_server_that_was_never_there_is_said_at_once(tmp_path: Path) -> None:
    hook = Broken("open")
    with pytest.raises(UserError, match="Nowhere cannot be used: ConnectionError: refused by"):
        train_toy(tmp_path, hook)
    assert hook.calls == ["open"]


@pytest.mark.slow
def test_mlflow_reads_the_run_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    monkeypatch.chdir(tmp_path)
    require_read_back(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path)


@pytest.mark.slow
def test_a_tracking_server_reads_the_run_back(tmp_path: Path) -> None:
    for package in ("mlflow", "flask", "sqlalchemy"):  # mlflow-skinny has no server
        pytest.importorskip(package)
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{tmp_path / 'mlflow.db'}", "--workers", "1"),
        *("--artifacts-destination", str(tmp_path / "artifacts")),
    ]
    uri = f"http://127.0.0.1:{port}"
    with (
        (tmp_path / "server.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as server,
    ):
        try:
            wait_for_server(f"{uri}/health", server)
            require_read_back(uri, tmp_path)
        finally:
            os.killpg(server.pid, signal.SIGTERM)


def wait_for_server(address: str, server: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + 240
    while time.monotonic() < ends and server.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            assert answer.status == 200
            return
        time.sleep(0.5)
    pytest.fail("the tracking server did not start")


def require_read_back(uri: str, folder: Path) -> None:
    """Train, stop, resume with the run logged at `uri`, and read all of it with MLflow's client."""
    import mlflow

    from utils.engine.hooks.mlflow_log import MlflowLog

    settings = {"tracking_uri": uri, "experiment": "toys", "register": "toy-detector"}
    run = folder / "run"
    with pytest.raises((TrainingStopped, UserError)):
        train_toy(run, MlflowLog(**settings), StopsInEpoch2())  # type: ignore[arg-type]
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("toys").experiment_id
    (begun,) = client.search_runs([experiment])
    assert begun.info.status == "KILLED"
    assert client.search_model_versions("name='toy-detector'") == []

    train_toy(run, MlflowLog(**settings), resume=True)  # type: ignore[arg-type]
    (found,) = client.search_runs([experiment])
    assert found.info.run_id == begun.info.run_id
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "run"
    assert found.data.params["train.optimizer.lr"] == "0.01"
    assert {"night", "baseline"} <= set(found.data.tags)
    assert found.data.tags["mlflow.note.content"] == "the first try"
    history = client.get_metric_history(found.info.run_id, "map50_95")
    assert [point.step for point in history] == [1, 2, 3]
    assert all(0 < point.value < 1 for point in history)
    assert "box" in found.data.metrics or "loss" in "".join(found.data.metrics)
    files = {item.path for item in client.list_artifacts(found.info.run_id)}
    assert {"config.yaml", "metrics.csv", "model"} <= files
    (version,) = client.search_model_versions("name='toy-detector'")
    assert version.run_id == found.info.run_id
    kept = client.download_artifacts(found.info.run_id, "model/best.safetensors", str(folder))
    assert Path(kept).read_bytes() == (run / "best.safetensors").read_bytes()


def leveldb_log(content: bytes) -> Iterator[bytes]:
    """Yield the records of a .wandb file, which has the format of LevelDB's log behind 7 bytes."""
    place, block, pending = 7, 1 << 15, b""
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        pending += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield pending
            pending = b""


@pytest.mark.slow
def test_wandb_reads_the_offline_run_back(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    from wandb.proto import wandb_internal_pb2

    from utils.engine.hooks.wandb_log import WandbLog

    run = tmp_path / "run"
    train_toy(run, WandbLog(project="toys", mode="offline"))
    wandb.teardown()  # else its process writes when ours ends
    (file,) = run.glob("wandb/offline-run-*/*.wandb")
    steps, config, run_record = [], {}, None
    for data in leveldb_log(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            values = {
                ".".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }
            steps.append(values)
        if record.HasField("run"):
            run_record = record.run
            config |= {item.key: item.value_json for item in record.run.config.update}
    assert run_record is not None
    assert run_record.project == "toys"
    assert run_record.display_name == "run"
    assert run_record.notes == "the first try"
    assert set(run_record.tags) == {"night", "baseline"}
    assert json.loads(config["train.epochs"]) == 3
    assert len(steps) == 3
    assert all(0 < values["map50_95"] < 1 for values in steps)


def test_tensorboard_reads_numbers_pictures_curves_and_settings_back(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = train_toy(tmp_path, TensorBoard())
    sizes = {"images": 0, "tensors": 0, "scalars": 0}
    events = accumulator.EventAccumulator(str(folder.events), size_guidance=sizes)
    events.Reload()
    tags = events.Tags()
    assert [item.step for item in events.Scalars("map50_95")] == [1, 2, 3]
    assert {"validation/x.jpg", "validation/y.jpg"} <= set(tags["images"])
    assert events.Images("validation/x.jpg")[0].width == 16
    assert {"precision_recall/all", "precision_recall/a", "precision_recall/b"} <= set(
        tags["tensors"]
    )
    assert "settings/text_summary" in tags["tensors"]
    curve = np.array(events.Tensors("precision_recall/all")[0].tensor_proto.float_val)
    if not len(curve):
        raw = events.Tensors("precision_recall/all")[0].tensor_proto.tensor_content
        curve = np.frombuffer(raw, np.float32)
    hits, wrong, _, missed, precision, recall = curve.reshape(6, -1)
    assert (hits[50], wrong[50], missed[50]) == (1, 1, 2)  # threshold .5: one right of two
    assert precision[50] == pytest.approx(0.5)
    assert recall[50] == pytest.approx(1 / 3)
    assert "best/map50_95" in tags["scalars"]
