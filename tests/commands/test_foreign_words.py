"""Command lines of other detectors: the answer is a line that can be typed."""

import shlex
from pathlib import Path

import pytest

from commands.compare.cli import RunComparison, parse_compare_command
from commands.export.cli import parse_export_command
from commands.predict.cli import parse_predict_command
from commands.train.cli import parse_train_command
from commands.val.cli import parse_val_command

PARSERS = {
    "train.py": parse_train_command,
    "val.py": parse_val_command,
    "predict.py": parse_predict_command,
    "export.py": parse_export_command,
}


def said(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    program, *arguments = shlex.split(line)
    with pytest.raises(SystemExit) as caught:
        PARSERS[program](arguments)
    text = capsys.readouterr().err
    assert (caught.value.code, text.count("\n")) == (2, 1)
    return text


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("train.py --img 640 --data d.yaml --weights y.pt",
         "train.py train.image_size=640 data=d.yaml model.weights=y.pt"),
        ("train.py train model=y.pt data=d.yaml epochs=1 imgsz=640 batch=-1 optimizer=AdamW",
         "train.py model.weights=y.pt data=d.yaml train.epochs=1 train.image_size=640 "
         "train.batch_size=auto train.optimizer.name=adamw"),
        ("train.py detect train model=yolov5s.yaml data=d.yaml task=detect mode=train",
         "train.py model.graph=yolov5s.yaml data=d.yaml"),
        ("train.py --cfg yolov5s.yaml --weights '' --data d.yaml --batch-size 8",
         "train.py model.graph=yolov5s data=d.yaml train.batch_size=8"),
        ("train.py data=d.yaml cos_lr=True rect=False amp=True",
         "train.py data=d.yaml train.schedule.name=cosine train.precision=auto"),
        ("train.py --cfg a.yaml --cos-lr train.seed=-1",
         "train.py --cfg a.yaml train.schedule.name=cosine train.seed=-1"),
        ("train.py imgsz=640", "train.py data=FOLDER train.image_size=640"),
        ("train.py data=d val=0.2", "train.py data=d data.val=0.2"),
        ("train.py resume", "train.py --resume last"),
        ("train.py resume=True", "train.py --resume last"),
        ("train.py resume=runs/x", "train.py --resume runs/x"),
        ("train.py data=d --dry-run", "train.py data=d --preflight"),
        ("train.py data=d --device 0,1", "train.py data=d train.device=0,1"),
        ("train.py data=d 'freeze=[a, b]'", "train.py data=d 'train.freeze=[a, b]'"),
        ("val.py model=w.pt data=d.yaml batch=4",
         "val.py --weights w.pt --data d.yaml eval.batch_size=4"),
        ("val.py --weights w --img 64 --conf-thres 0.1 --device cpu",
         "val.py --weights w train.image_size=64 eval.score_threshold=0.1 train.device=cpu"),
        ("predict.py model=w source=p conf=0.25 save=True save_txt=True",
         "predict.py --weights w --source p eval.score_threshold=0.25 --save txt"),
        ("predict.py --weights w --source p --project x --nosave",
         "predict.py --weights w --source p --save-dir x --save none"),
        ("export.py model=w format=onnx", "export.py --weights w --format onnx"),
        ("export.py --weights w --include onnx", "export.py --weights w --format onnx"),
    ],
)  # fmt: skip
def test_the_line_to_type(foreign: str, ours: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"; type {ours}; see" in said(foreign, capsys)
    program, *arguments = shlex.split(ours)
    PARSERS[program](arguments)


def test_folders_without_an_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(f"predict.py {tmp_path} {tmp_path}", capsys)
    assert f"type predict.py --weights {tmp_path} --source {tmp_path}; see" in text


@pytest.mark.parametrize(
    ("foreign", "expected"),
    [
        ("train.py data=d --hyp h.yaml", "for --hyp: --cfg migrated.yaml, which migrate.py"),
        ("train.py data=d fl_gamma=1.5", "for fl_gamma: loss.classification: {name: focal"),
        ("train.py data=d --foo 3 --img 64", "unknown here: --img, --foo; type train.py data=d "
         "train.image_size=64; see"),
        ("predict.py --weights w --source p --name y", "unknown option --name"),
    ],
)  # fmt: skip
def test_what_no_single_word_replaces(
    foreign: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in said(foreign, capsys)


def test_own_words_stay() -> None:
    settings = ("data=d", "hooks=[wandb]", "train={epochs: 3}", "run={}", "train.seed=-1")
    assert parse_train_command([*settings, "--resume", "x"]).overrides == settings
    assert parse_train_command(settings).overrides == settings
    design = ("name=x", "seeds=[1]", "folder=f", "experiment=e.yaml", "test.margin=1")
    command = parse_compare_command(["--cfg", "d.yaml", *design])
    assert isinstance(command, RunComparison)
    assert command.overrides == design
