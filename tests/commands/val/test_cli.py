"""The command line of val.py: what it understands and how it fails."""

from pathlib import Path

import pytest

from commands.val.cli import ValCommand, parse_val_command
from commands.view_options import ViewOptions

PLAIN = {
    "weights": Path("w"),
    "data": None,
    "split": "val",
    "json": None,
    "save_detections": None,
    "overrides": (),
}


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        ("", {}),
        (
            "--data d --split test --json j --save-detections s eval.judge=pycocotools",
            {
                "data": "d",
                "split": "test",
                "json": Path("j"),
                "save_detections": Path("s"),
                "overrides": ("eval.judge=pycocotools",),
            },
        ),
        ("--threshold-report --plots p", {"threshold_report": True, "plots": Path("p")}),
        ("--tta", {"views": ViewOptions(tta=True)}),
        ("--tile 640", {"views": ViewOptions(tile=640, overlap=0.2)}),
        ("--tile 640 --overlap 0", {"views": ViewOptions(tile=640, overlap=0.0)}),
        ("--task speed", {"task": "speed", "batch_sizes": (1, 8)}),
        ("--task speed --batch-sizes 4,1,4", {"task": "speed", "batch_sizes": (4, 1)}),
    ],
)
def test_val_command(arguments: str, changes: dict[str, object]) -> None:
    wanted = ValCommand(**{**PLAIN, **changes})  # type: ignore[arg-type]
    assert parse_val_command(["--weights", "w", *arguments.split()]) == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--overlap 0.3", "--overlap has no effect without --tile SIZE"),
        ("--tile 31", "--tile 31: must be from 32 pixels"),
        ("--tile 64 --overlap 0.95", "--overlap 0.95: must be 0 to 0.9"),
        ("--tile 64 --overlap -0.1", "--overlap -0.1: must be 0 to 0.9"),
        ("--batch-sizes 2", "--batch-sizes belongs to --task speed"),
        ("--task speed --batch-sizes 0,2", "--batch-sizes 0,2: whole numbers from 1"),
        ("--task speed --batch-sizes x", "--batch-sizes x: whole numbers from 1"),
        ("--task speed --plots p", "--plots has no effect with --task speed"),
        ("--task speed --tta", "--tta or --tile has no effect with --task speed"),
        ("--task speed --threshold-report", "--threshold-report has no effect"),
        ("--task speed --save-detections f", "--save-detections has no effect"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_val_command(["--weights", "w", *arguments.split()])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
