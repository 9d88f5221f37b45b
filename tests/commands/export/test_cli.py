"""The command line of export.py: what it understands, how it fails."""

from pathlib import Path

import pytest

from commands.export.cli import DataSplit, ExportCommand, parse_export_command


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("--weights w.pt", ExportCommand(weights=Path("w.pt"))),
        (
            "--weights w --format torchscript,onnx",
            ExportCommand(weights=Path("w"), formats=("onnx", "torchscript")),
        ),
        (
            "eval.score_threshold=0.1 --weights w --nms --like-val --output o",
            ExportCommand(
                weights=Path("w"),
                nms=True,
                like_val=True,
                output=Path("o"),
                overrides=("eval.score_threshold=0.1",),
            ),
        ),
        (
            "--weights w --int8 --calibration-data coco128/train --data my/set.yaml --check-images "
            "a --check-images b",
            ExportCommand(
                weights=Path("w"),
                int8=True,
                calibration_data=DataSplit(data="coco128", split="train"),
                data=DataSplit(data="my/set.yaml", split="val"),
                check_images=(Path("a"), Path("b")),
            ),
        ),
        (
            "--weights w --int8 --calibration-data my/set.yaml/test",
            ExportCommand(
                weights=Path("w"),
                int8=True,
                calibration_data=DataSplit(data="my/set.yaml", split="test"),
            ),
        ),
    ],
)
def test_export_command(arguments: str, command: ExportCommand) -> None:
    assert parse_export_command(arguments.split()) == command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--format onnx", "--weights"),
        ("--weights w --format tflite", "--format tflite: choose some of onnx, openvino"),
        ("--weights w --format ,", "--format: choose"),
        ("--weights w --format onnx,torchscript --nms", "--nms is for onnx and openvino, not for"),
        ("--weights w --format tensorrt --int8", "--int8 is for onnx and openvino, not for"),
        ("--weights w --data coco128", "--data has no effect without --int8"),
        ("--weights w --calibration-data d", "--calibration-data has no effect without --int8"),
        ("--weights w --score-threshold 0.5", "eval.score_threshold=0.5"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_export_command(arguments.split())
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_help_states_the_defaults_of_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    from commands.build.predictor import PREDICTION_DEFAULTS

    with pytest.raises(SystemExit):
        parse_export_command(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for key, value in PREDICTION_DEFAULTS.items():
        assert f"eval.{key}={str(value).lower()}" in text
