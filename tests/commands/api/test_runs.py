"""Training, evaluating and exporting from Python: what the programs do, as objects."""

import json
import logging
import re
import signal
from pathlib import Path
from typing import Any

import pytest

import focaldet
from tests.commands.tiny_weights import write_weights

ROOT = Path(__file__).parents[3]
TINY: dict[str, Any] = {
    # one thread: threads of this process would hang whatever a later test forks
    "train": {"epochs": 2, "image_size": 64, "workers": 0, "batch_size": 4, "threads": 1},
    "data": {"train_images": 8, "val_images": 4, "test_images": 0, "side": 64},
    "run.name": "tiny",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> focaldet.Run:
    folder = tmp_path_factory.mktemp("api")
    settings = {**TINY, "run.folder": str(folder), "data.path": str(folder / "data")}
    return focaldet.train("quickstart.yaml", **settings)


class Counter(focaldet.Hook):
    def __init__(self) -> None:
        self.epochs = 0

    def after_epoch(self, run: Any) -> None:
        self.epochs += 1


@pytest.mark.slow
def test_a_run_is_what_its_folder_holds(run: focaldet.Run) -> None:
    assert run.best.is_file()
    assert run.report.is_file()
    assert run.results == json.loads((run.folder / "results.json").read_text())
    assert run.metrics["epoch"] == [1.0, 2.0]
    assert {len(column) for column in run.metrics.values()} == {2}


def test_a_run_is_named_by_a_path_or_its_text() -> None:
    named = focaldet.Run("runs/tiny")
    assert named == focaldet.Run(Path("runs/tiny"))
    assert named.best == Path("runs/tiny/best.safetensors")


@pytest.mark.slow
def test_a_run_stands_for_its_weights(run: focaldet.Run) -> None:
    by_run, by_file = focaldet.val(run), focaldet.val(str(run.best))
    assert by_run.map50_95 == by_file.map50_95 == focaldet.val(run.folder).map50_95
    detector = focaldet.load_detector(run)
    assert repr(detector).startswith("<Detector of 6 classes: disc, ")


@pytest.mark.slow
def test_exports_are_files_beside_the_weights(run: focaldet.Run) -> None:
    (path,) = focaldet.export(run, "torchscript")
    assert path == run.folder / "best.torchscript"
    with pytest.raises(focaldet.ConfigError, match="--format onx: choose some of"):
        focaldet.export(run, "onx")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"format": "onx"}, "--format onx: choose some of onnx, openvino"),
        ({"format": ["onnx", "onx"]}, "--format onx: choose some of"),
        ({"format": "torchscript", "nms": True}, "--nms"),
        ({"formats": "onnx"}, "formats"),
        ({"imgsz": 64}, "train.image_size"),
    ],
)
def test_wrong_exports_are_refused_in_the_words_of_the_program(
    arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    weights = write_weights(tmp_path / "x.safetensors")
    with pytest.raises(focaldet.ConfigError) as caught:
        focaldet.export(weights, **arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_run_is_resumed_with_hooks(run: focaldet.Run) -> None:
    counter = Counter()
    longer = run.resume(hooks=[counter], train={"epochs": 3})
    assert (longer.folder, counter.epochs) == (run.folder, 1)
    assert longer.metrics["epoch"] == [1.0, 2.0, 3.0]


class Interrupter(focaldet.Hook):
    """Sends as many interruptions after the second batch as asked."""

    def __init__(self, times: int) -> None:
        self.times = times

    def after_step(self, run: Any, losses: Any) -> None:
        if run.position == 1.0 + 1 / run.batches_per_epoch:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("times", "words"),
    [
        (
            1,
            r"stopped at epoch 2, batch 1/2, the state is saved; .*\.Run\('(.*)'\)\.resume\(\)",
        ),
        (2, r"interrupted at epoch 2, .*; focaldet\.Run\('(.*)'\)\.resume\(\) .*last checkpoint"),
    ],
)
def test_an_interruption_says_the_line_that_continues(
    tmp_path: Path, times: int, words: str
) -> None:
    settings = {**TINY, "run.folder": str(tmp_path), "data.path": str(tmp_path / "data")}
    with pytest.raises(KeyboardInterrupt) as stopped:
        focaldet.train("quickstart.yaml", hooks=[Interrupter(times)], **settings)
    found = re.match(words, str(stopped.value))
    assert found, stopped.value
    resumed = focaldet.Run(Path(found[1])).resume()
    assert resumed.metrics["epoch"] == [1.0, 2.0]
    assert resumed.best.is_file()


def test_an_interruption_before_training_promises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("commands.api.runs.start_training", interrupted)
    with pytest.raises(KeyboardInterrupt, match="before a state was saved; the same call starts"):
        focaldet.train("quickstart.yaml")


CELL = """
import sys
import focaldet

class Tell(focaldet.Hook):
    def after_step(self, run, losses):
        print("a batch is done", flush=True)

focaldet.train("quickstart.yaml", hooks=[Tell()], **{settings})
"""


@pytest.mark.slow
def test_a_notebook_shows_bar_and_log_and_can_be_interrupted(tmp_path: Path) -> None:
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    settings = {**TINY, "run.folder": str(tmp_path), "data.path": str(tmp_path / "data")}
    settings["train"] = {**TINY["train"], "epochs": 500}
    kernel, client = manager.start_new_kernel(kernel_name="python3", cwd=str(ROOT))
    shown, is_interrupted = "", False
    try:
        client.execute(CELL.replace("{settings}", repr(settings)))
        while True:
            message = client.get_iopub_msg(timeout=120)
            shown += message["content"].get("text", "")
            if "a batch is done" in shown and not is_interrupted:
                kernel.interrupt_kernel()
                is_interrupted = True
            if message["msg_type"] == "error":
                break
        assert message["content"]["ename"] == "TrainingStopped"
        assert "the state is saved; focaldet.Run(" in message["content"]["evalue"]
        assert "Saving results to" in shown
        assert "/500: " in shown
        assert "it/s" in shown or "batch/s" in shown or "?batch" in shown
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


def test_mistakes_are_errors_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(focaldet.UserError, match="data=FOLDER or cfg=FILE"):
        focaldet.train()
    with pytest.raises(focaldet.ConfigError, match=r"did you mean 'train\.epochs'"):
        focaldet.train("quickstart.yaml", train={"epoch": 3})
    with pytest.raises(focaldet.UserError, match=r"nowhere\.safetensors"):
        focaldet.val(tmp_path / "nowhere.safetensors")


def test_logging_of_the_caller_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(logging.getLogger().handlers)
    with pytest.raises(focaldet.UserError):
        focaldet.train()
    assert logging.getLogger().handlers == before
