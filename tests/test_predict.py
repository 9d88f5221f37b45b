"""The command line of predict.py: what it understands, how it fails, that it runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from commands.predict.cli import PredictCommand, parse_predict_command
from tests.commands.tiny_weights import write_weights
from tests.data.synthetic.scene_files import write_scenes
from tests.run_programs import run

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("--weights w.pt --source a", PredictCommand(Path("w.pt"), ("a",))),
        ("--source 0 --weights w --source -", PredictCommand(Path("w"), ("0", "-"))),
        (
            "eval.iou_threshold=0.5 --weights w --source a --classes cat,dog --like-val",
            PredictCommand(
                Path("w"),
                ("a",),
                classes=("cat", "dog"),
                like_val=True,
                overrides=("eval.iou_threshold=0.5",),
            ),
        ),
        (
            "--weights w --source a --save txt,csv,txt --save-dir o --save-json j --categories c",
            PredictCommand(
                Path("w"),
                ("a",),
                save=("txt", "csv"),
                save_dir=Path("o"),
                save_json=Path("j"),
                categories=Path("c"),
            ),
        ),
        ("--weights w --source a --save none", PredictCommand(Path("w"), ("a",), save=())),
        (
            "--weights w --source a --line-width 4 --hide-labels --hide-scores",
            PredictCommand(Path("w"), ("a",), line_width=4, hides_labels=True, hides_scores=True),
        ),
    ],
)
def test_predict_command(arguments: str, command: PredictCommand) -> None:
    assert parse_predict_command(arguments.split()) == command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--source a", "--weights"),
        ("--weights w", "--source"),
        ("--weights w --source a --save images,pdf", "--save pdf: choose some of images, video"),
        ("--weights w --source a --save none,txt", "--save none: choose"),
        ("--weights w a.jpg --source a", "cannot parse 'a.jpg'"),
        ("--weights w --source a --score-threshold 0.5", "eval.score_threshold=0.5"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_predict_command(arguments.split())
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_help_states_the_defaults_of_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    from commands.build.predictor import PREDICTION_DEFAULTS

    with pytest.raises(SystemExit) as caught:
        parse_predict_command(["--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for key, value in PREDICTION_DEFAULTS.items():
        assert f"eval.{key}={str(value).lower()}" in text


def predict(*arguments: str, stdin: str = "", cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "predict.py"), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.mark.slow
def test_program_reads_a_list_and_writes_pictures(tmp_path: Path) -> None:
    write_weights(tmp_path / "w.safetensors")
    write_scenes(tmp_path, 2)
    done = predict(
        "--weights", "w.safetensors", "--source", "-", stdin="0.png\n1.png\n", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "2 pictures in" in done.stderr
    assert "written: runs/predict" in done.stderr
    names = sorted(path.name for path in (tmp_path / "runs" / "predict").iterdir())
    assert names == ["0.jpg", "1.jpg"]


@pytest.mark.slow
def test_program_names_what_is_missing_in_one_line(tmp_path: Path) -> None:
    write_weights(tmp_path / "w.safetensors")
    done = run("predict.py", "--weights", "w.safetensors", "--source", "a.jpg", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: --source a.jpg: no such file, folder or camera\n"
    assert not (tmp_path / "runs").exists()
