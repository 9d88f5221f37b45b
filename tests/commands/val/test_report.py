"""val.py beyond the headline: page, thresholds and speed, from the weights on."""

import json
from pathlib import Path

import pytest

from commands.val.cli import parse_val_command
from commands.val.report import analyse_evaluation, write_evaluation_report
from commands.val.run import Evaluation, evaluate_weights
from commands.val.speed import measure_speed
from tests.commands.tiny_weights import write_data_set, write_weights

pytestmark = pytest.mark.slow


QUIET = ("train.threads=1", "train.workers=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    write_weights(root / "w.safetensors")
    write_data_set(root / "data", root / "w.safetensors", count=6)
    return root


def arguments(folder: Path, *more: str) -> list[str]:
    weights, data = folder / "w.safetensors", folder / "data" / "data.yaml"
    return ["--weights", str(weights), "--data", str(data), *QUIET, *more]


@pytest.fixture(scope="module")
def judged(folder: Path) -> Evaluation:
    return evaluate_weights(parse_val_command(arguments(folder)))


def test_folder_holds_page_numbers_and_pictures(judged: Evaluation, tmp_path: Path) -> None:
    analysis = analyse_evaluation(judged)
    target = tmp_path / "deep" / "plots"
    write_evaluation_report(target, judged, analysis, facts={"weights": "w", **judged.facts})
    names = {path.name for path in target.iterdir()}
    assert {"index.html", "analysis.json"} <= names
    numbers = json.loads((target / "analysis.json").read_text())
    worst = numbers["worst_images"]["missed"][0]
    assert Path(worst[0]).is_file()
    page = (target / "index.html").read_text()
    assert f"{Path(worst[0]).name}: {worst[1]} missed; left labels, right detections" in page
    given = judged.result.operating_points["given"]
    total = sum(count for _, count in numbers["worst_images"]["missed"])
    assert total == round((1 - given["recall"]) * judged.result.counts["truths"])


def test_every_chart_of_the_page_is_a_file(judged: Evaluation, tmp_path: Path) -> None:
    write_evaluation_report(tmp_path, judged, analyse_evaluation(judged), facts={"weights": "w"})
    files = {path.stem for path in tmp_path.glob("*.svg")}
    assert {"pr", "f1", "scores", "reliability", "confusion"} <= files
    assert (tmp_path / "pr.svg").read_text().startswith("<svg xmlns=")


def test_speed_tells_every_stage_of_every_batch_size(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("commands.val.speed.ENOUGH_S", 0.0)
    command = parse_val_command(arguments(folder, "--task", "speed", "--batch-sizes", "1,3"))
    report = measure_speed(command)
    assert [one.batch_size for one in report.times] == [1, 3]
    for one in report.times:
        assert min(one.read, one.frame, one.network, one.suppress) > 0
        assert one.total == pytest.approx(one.read + one.frame + one.network + one.suppress)
    assert json.loads(json.dumps(report.to_json()))["threads"] == report.threads
    first, table = report.lines()
    assert first.startswith("cpu, ")
    assert [line.split()[0] for line in table.splitlines()] == ["batch", "1", "3"]
