"""One run of a comparison: what is trained is judged, with the settings that the engine states."""

from pathlib import Path
from typing import Any

import pytest

from commands.compare import one_run as compared_run
from commands.compare.one_run import resume_and_judge, train_and_judge
from configs.errors import ConfigError
from tests.commands.compare.test_comparison_parts import experiment, yolo_data
from utils.runtime.files.run_folder import RunFolder


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Record what would be trained and judged."""
    said: list[Any] = []

    def train(loaded: Any, **rest: Any) -> RunFolder:
        said.append((loaded.experiment.train, rest))
        return RunFolder(tmp_path / "run")

    monkeypatch.setattr(compared_run, "train", train)
    monkeypatch.setattr(compared_run, "evaluate_run", said.append)
    return said


def test_a_run_is_trained_and_judged(tmp_path: Path, calls: list[Any]) -> None:
    experiment(tmp_path, yolo_data(tmp_path / "set"))
    train_and_judge(tmp_path / "experiment.yaml", ["train.seed=3"])
    (settings, rest), judged = calls
    assert (settings.seed, rest) == (3, {})
    assert judged == tmp_path / "run"


def test_a_run_goes_on_with_what_may_change_alone(tmp_path: Path, calls: list[Any]) -> None:
    loaded = experiment(tmp_path, yolo_data(tmp_path / "set"))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text(loaded.to_yaml())
    (tmp_path / "run" / "graph.yaml").write_text((tmp_path / "graph.yaml").read_text())
    resume_and_judge(tmp_path / "run", ["train.threads=1"])
    (settings, rest), judged = calls
    assert settings.threads == 1
    assert rest["resume"].path == judged == tmp_path / "run"
    assert [str(change) for change in rest["changes"]] == ['train.threads: "auto" -> 1']
    with pytest.raises(ConfigError, match="cannot be changed on resume"):
        resume_and_judge(tmp_path / "run", ["data.class_names=[a, b]"])
    assert len(calls) == 2
