"""A user's hooks and a user's loss term in a whole training."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from commands.train.run import train
from configs.reading.load import load_experiment
from models.losses import DetectionCriterion
from tests.run_programs import ROOT, TINY, run, weights_digest
from tests.run_programs import train as train_program
from utils.engine.hook import Hook
from utils.engine.run import Run
from utils.structures.loss_terms import LossTerms

pytestmark = pytest.mark.slow

MODULE = """
import json

class Diary:
    def __init__(self, file, fails_at=None):
        self.file, self.fails_at, self.steps = file, fails_at, 0

    def after_step(self, run, losses):
        self.steps += 1
        if self.steps == self.fails_at:
            raise RuntimeError("the network is down")

    def after_epoch(self, run):
        with open(self.file, "a") as file:
            row = [run.epoch, run.step, run.total_steps, self.steps, run.metrics["map50"]]
            file.write(json.dumps(row) + "\\n")

    def state(self):
        return self.steps

    def load_state(self, state):
        self.steps = state
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "diary_of_a_user.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def hooks(file: Path, **more: Any) -> str:
    return f"hooks={json.dumps([{'name': 'diary_of_a_user.Diary', 'file': str(file), **more}])}"


@pytest.fixture(scope="module")
def plain(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training without hooks of a user."""
    return train_program(dataset, tmp_path_factory.mktemp("plain"), "train.epochs=2")


def test_a_hook_sees_the_run_and_changes_nothing(
    dataset: Path, plain: Path, tmp_path: Path
) -> None:
    seen = tmp_path / "seen.jsonl"
    watched = train_program(dataset, tmp_path / "watched", "train.epochs=2", hooks(seen))
    assert weights_digest(watched) == weights_digest(plain)
    lines = [json.loads(line) for line in seen.read_text().splitlines()]
    with (plain / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    total = int(rows[-1]["step"])
    assert lines == [
        [n, int(row["step"]), total, 3 * n, float(row["map50"])] for n, row in enumerate(rows, 1)
    ]


def test_a_hook_that_fails_loses_nothing(dataset: Path, plain: Path, tmp_path: Path) -> None:
    broken, file = tmp_path / "broken", tmp_path / "broken.jsonl"
    place = (f"data.path={dataset}", f"run.folder={broken}", "run.name=x", "train.epochs=2")
    done = run("train.py", *TINY, *place, hooks(file, fails_at=5))
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: hook diary_of_a_user.Diary failed in after_step: RuntimeError")
    assert "the network is down (diary_of_a_user.py, line 11)" in last
    assert f"the state is saved, continue with --resume {broken / 'x'}" in last
    assert "Traceback" not in done.stderr
    done = run("train.py", "--resume", broken / "x")
    assert done.returncode == 0, done.stderr
    assert weights_digest(broken / "x") == weights_digest(plain)
    assert [json.loads(line)[3] for line in file.read_text().splitlines()] == [3, 6]


def test_a_wrong_name_stops_before_anything_is_begun(dataset: Path, tmp_path: Path) -> None:
    place = (f"data.path={dataset}", f"run.folder={tmp_path / 'runs'}")
    done = run("train.py", *TINY, *place, "hooks=[diary_of_a_user.Dairy]")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == (
        "error: hooks: diary_of_a_user.Dairy: module diary_of_a_user has no Dairy; did you mean "
        "'diary_of_a_user.Diary'?"
    )
    assert not (tmp_path / "runs").exists()


def test_a_term_of_ones_own_is_in_the_files_of_a_run(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = DetectionCriterion.forward

    def forward(self: DetectionCriterion, predictions: Any, targets: Any) -> LossTerms:
        terms = whole(self, predictions, targets)
        size = sum(level.float().square().mean() for level in predictions.levels)
        return LossTerms.of(
            {**dict(terms.items()), "distribution": 0.01 * size},
            num_foreground=terms.num_foreground,
            batch_size=terms.batch_size,
        )

    class Seen(Hook):
        def __init__(self) -> None:
            self.names: set[tuple[str, ...]] = set()

        def after_step(self, run: Run, losses: LossTerms) -> None:
            self.names.add(losses.names)

    monkeypatch.setattr(DetectionCriterion, "forward", forward)
    monkeypatch.chdir(ROOT)
    seen = Seen()
    settings = [f"data.path={dataset}", f"run.folder={tmp_path}", "run.name=x", "train.epochs=2"]
    folder = train(load_experiment(TINY[1], [*TINY[2:], *settings]), hooks=[seen])
    names = ("box", "objectness", "classification", "distribution")
    assert seen.names == {names}
    with folder.metrics.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0])[3:7] == names
    assert all(float(row["distribution"]) > 0 for row in rows)
    report = folder.report.read_text()
    assert "distribution" in report[report.index("Training loss") :]
    assert "classification_loss_positives" in folder.budget.read_text()
