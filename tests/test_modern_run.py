"""The anchor-free heads as a person trains, evaluates, exports and resumes them."""

import csv
import json
import re
import signal
from pathlib import Path

import pytest
import yaml

from benchmarks.agreement import agreement
from commands.export.cli import DataSplit
from tests.models.factories import tiny_graph
from tests.run_programs import ROOT, TINY, run, train, train_until_stopped, weights_digest
from tests.test_agreement import assert_agreement
from tests.test_torchrun import ended, rows, torchrun
from utils.checkpoint.weights import load_weights

pytestmark = pytest.mark.slow

HEADS = {
    "joint": (
        ["Joint", ["nc", 8]],
        "loss.objectness=null",
        "loss.assigner={name: task_aligned}",
        "loss.box={name: ciou, gain: 7.5, normalizer: targets}",
        "loss.classification={name: bce, gain: 0.5, normalizer: targets}",
        "loss.distribution={gain: 1.5}",
    ),
    "yolox": (
        ["YOLOX", ["nc", 16]],
        "loss.objectness={name: bce, gain: 1.0, normalizer: positives}",
        "loss.assigner={name: simota, candidates: center}",
        "loss.box={name: alpha_iou, overlap: iou, exponent: 2, gain: 5.0, normalizer: positives}",
        "loss.classification={name: bce, gain: 1.0, normalizer: positives}",
        "loss.l1={gain: 1.0}",
        "augment.close_mosaic=2",
    ),
}


def settings(head: str, folder: Path) -> tuple[str, ...]:
    """Write the network and return the settings of its head."""
    (block, arguments), *losses = HEADS[head]
    inner = [
        [-1, 1, "Conv", [32, 3, 2]],
        [-1, 2, "SplitConcat", [32]],
        [-1, 1, "Conv", [32, 3, 2]],
        [[4, 5], 1, block, arguments],
    ]
    graph = tiny_graph(head=inner)
    del graph["anchors"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{head}.yaml"
    path.write_text(yaml.safe_dump(graph))
    return (f"model.graph={path}", "model.anchors=graph", "train.nominal_batch=4", *losses)


@pytest.fixture(scope="module", params=HEADS)
def head(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def finished(head: str, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training that has learned something."""
    folder = tmp_path_factory.mktemp("finished")
    return train(dataset, folder, *settings(head, folder), "train.epochs=40", "augment.mosaic=0.3")


def test_every_way_gives_the_number_of_the_training(
    finished: Path, dataset: Path, tmp_path: Path
) -> None:
    """val.py, predict.py and every exported file, suppression included."""
    trained = json.loads((finished / "results.json").read_text())
    assert trained["map50_95"] > 0.03
    data = tmp_path / "data.yaml"
    data.write_text(
        yaml.safe_dump({
            "format": "yolo", "path": str(dataset), "train": "images/train", "val": "images/val",
            "class_names": load_weights(finished / "best.safetensors")[1]["class_names"],
        })
    )  # fmt: skip
    found = list(
        agreement(finished / "best.safetensors", DataSplit(data=str(data), split="val"), tmp_path)
    )
    ap = {row.way: row.map50_95 for row in found}
    assert ap["val.py"] == trained["map50_95"]
    assert_agreement(ap)


def test_other_data_start_from_its_network(finished: Path, dataset: Path, tmp_path: Path) -> None:
    """The folder of the run is all that is named; the recipe would train another head."""
    classes = load_weights(finished / "best.safetensors")[1]["class_names"]
    data = tmp_path / "data.yaml"
    data.write_text(
        f"{{path: {dataset}, train: images/train, val: images/val, names: {json.dumps(classes)}}}"
    )
    done = run(
        "train.py", f"data={data}", f"model.weights={finished}", "train.epochs=1",
        "train.image_size=96", "train.workers=0", f"run.folder={tmp_path}", "run.name=x",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert f"model.weights: {finished} brings" in said
    assert re.search(r"\b(\d+) of \1 tensors taken", said), said


def test_views_and_tiles_find_objects(finished: Path, dataset: Path, tmp_path: Path) -> None:
    for number, option in enumerate(("--tta", "--tile=64")):
        done = run(
            "val.py", "--weights", finished / "best.safetensors", option, "--json",
            tmp_path / f"{number}.json",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / f"{number}.json").read_text())["map50"] > 0.02


def test_calibrated_scores_keep_ap_and_are_frequencies(finished: Path, tmp_path: Path) -> None:
    """A map that never falls keeps the ranking but for ties; the squared error becomes smaller."""
    calibrated = finished / "calibrated.safetensors"  # in the run, which says where its data are
    done = run(
        "calibrate.py", "--weights", finished / "best.safetensors", "--out", calibrated, fresh=True
    )
    assert done.returncode == 0, done.stderr
    ap, brier = {}, {}
    for name, weights in (("before", finished / "best.safetensors"), ("after", calibrated)):
        numbers = tmp_path / f"{name}.json"
        done = run("val.py", "--weights", weights, "--json", numbers, "--plots", tmp_path / name)
        assert done.returncode == 0, done.stderr
        ap[name] = json.loads(numbers.read_text())["map50_95"]
        analysis = json.loads((tmp_path / name / "analysis.json").read_text())
        brier[name] = analysis["calibration"]["brier"]
    assert ap["after"] == pytest.approx(ap["before"], abs=0.01)
    assert brier["after"] < brier["before"]


def test_arms_of_a_comparison_begin_alike(head: str, dataset: Path, tmp_path: Path) -> None:
    """Equal weights and equal batches for each seed, whatever the class loss is."""
    keys = dict(each.split("=", 1) for each in (*TINY[2:], *settings(head, tmp_path)))
    focal = "{name: focal, gamma: 2.0, alpha: null, scale: matched}"
    gain = yaml.safe_load(keys["loss.classification"])
    (tmp_path / "design.yaml").write_text(
        yaml.safe_dump({
            "experiment": str(ROOT / "configs/quickstart.yaml"), "name": "tiny", "seeds": [0, 1],
            "baseline": "bce", "folder": str(tmp_path), "test": {"bootstrap": 100},
            "arms": {"bce": {}, "focal": {"loss.classification": gain | yaml.safe_load(focal)}},
        })
    )  # fmt: skip
    done = run(
        "compare.py", "--cfg", tmp_path / "design.yaml", f"data.path={dataset}", "train.epochs=2",
        *(f"{key}={value}" for key, value in keys.items()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "tiny" / "comparison.json").read_text())
    for seed in (0, 1):
        rows = [row for row in content["controls"] if row["seed"] == seed]
        assert [row["arm"] for row in rows] == ["bce", "focal"]
        assert len({(row["weights"], row["batches"]) for row in rows}) == 1


def test_the_terms_are_columns_of_the_history(finished: Path, head: str) -> None:
    with (finished / "metrics.csv").open() as file:
        history = list(csv.DictReader(file))
    if head == "joint":
        assert "objectness" not in history[0]
        assert float(history[-1]["distribution"]) < float(history[0]["distribution"])
    else:
        assert [float(row["l1"]) > 0 for row in history] == [False] * 38 + [True] * 2
    assert (finished / "budget.csv").exists()


def test_stopped_training_resumes_to_the_same_network(
    head: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = (*settings(head, tmp_path), "train.epochs=6", "train.workers=2")
    straight = train(dataset, tmp_path / "straight", *own)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = tmp_path / "stopped" / "x"
    done = train_until_stopped(
        tmp_path, signal.SIGINT, *TINY, f"data.path={dataset}", *own,
        f"run.folder={folder.parent}", "run.name=x",
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    resumed = run("train.py", "--resume", folder)
    assert resumed.returncode == 0, resumed.stderr
    assert weights_digest(folder) == weights_digest(straight)


def test_bins_for_large_images_stay_with_the_run_and_its_weights(
    head: str, dataset: Path, tmp_path: Path
) -> None:
    if head != "joint":
        pytest.skip("only distributions have bins")
    own = settings(head, tmp_path)
    first = train(dataset, tmp_path / "first", *own, "train.image_size=192", "train.epochs=1")
    assert yaml.safe_load((first / "graph.yaml").read_text())["head"][-1][3] == ["nc", 12]
    assert yaml.safe_load((first / "config.yaml").read_text())["model"]["bins"] == 12
    said = (first / "config.yaml").read_text()
    assert "auto: the 8 of joint.yaml reach 112 px from a cell" in said

    resumed = run("train.py", "--resume", first, "train.epochs=2", "train.image_size=96")
    assert resumed.returncode == 0, resumed.stderr
    assert load_weights(first / "best.safetensors")[1]["graph"]["head"][-1][3] == ["nc", 12]

    second = run(
        "train.py", *TINY, *own, f"data.path={dataset}", f"model.weights={first}",
        "train.epochs=1", f"run.folder={tmp_path}", "run.name=second",
    )  # fmt: skip
    assert second.returncode == 0, second.stderr
    assert re.search(r"\b(\d+) of \1 tensors taken", second.stdout + second.stderr)
    val = run("val.py", "--weights", tmp_path / "second")
    assert val.returncode == 0, val.stderr


def test_two_processes_train_as_one(head: str, dataset: Path, tmp_path: Path) -> None:
    own = (
        *settings(head, tmp_path)[:2], *HEADS[head][1:], "train.epochs=1",
        "train.optimizer={name: sgd, lr: 0.01}", "train.warmup.epochs=0",
    )  # fmt: skip
    alone = train(dataset, tmp_path / "alone", *own)
    ended(torchrun(dataset, tmp_path / "two", *own, "train.sync_batchnorm=true"))
    joint = tmp_path / "two" / "x"
    for one, other in zip(rows(alone), rows(joint), strict=True):
        terms = ["box", "classification", "foreground"]
        terms.append("distribution" if head == "joint" else "objectness")
        for column in terms:
            assert float(other[column]) == pytest.approx(float(one[column]), rel=1e-3), column
