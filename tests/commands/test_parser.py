import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import focaldet
from commands.parser import CommandParser
from commands.settings_help import settings_help, topic_help
from commands.train.cli import TrainCommand, parse_train_command
from configs.schema.keys import all_keys

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("--cfg a.yaml", TrainCommand(Path("a.yaml"), (), None)),
        (
            "train.epochs=3 --cfg a.yaml data.path=/x=y",
            TrainCommand(Path("a.yaml"), ("train.epochs=3", "data.path=/x=y"), None),
        ),
        ("--resume runs/x", TrainCommand(None, (), Path("runs/x"))),
        ("--verify-resume", TrainCommand(None, (), None, verify_resume=True)),
        ("--replay x", TrainCommand(None, (), None, replay=Path("x"))),
        ("--cfg=a.yaml train.seed=-1", TrainCommand(Path("a.yaml"), ("train.seed=-1",), None)),
    ],
)
def test_train_command(arguments: str, command: TrainCommand) -> None:
    assert parse_train_command(arguments.split()) == command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "--cfg FILE or --resume RUN is needed"),
        ("train.epochs=3", "--cfg FILE or --resume RUN is needed"),
        ("--cfg", "argument --cfg: expected one argument"),
        ("--resume x --verify-resume", "exclude each other"),
        ("--replay x --resume y", "exclude each other"),
        ("configs/bccd.yaml", "did you mean --cfg configs/bccd.yaml?"),
        ("--cfg a.yaml epochs", "cannot parse 'epochs'; settings have the form section.key=value"),
        ("--cfg a.yaml --epochs 3", "unknown here: --epochs; type train.py --cfg a.yaml "
         "train.epochs=3; see"),
        ("--cfg a.yaml --batch-size=3", "type train.py --cfg a.yaml train.batch_size=3; see"),
        ("--cf a.yaml", "unknown option --cf"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_train_command(arguments.split())
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_help_names_every_key() -> None:
    text = settings_help()
    missing = [key for key in all_keys() if f" {key} " not in text and f"{key}:" not in text]
    # The second of two equal choices refers to the first, the later splits to the first split.
    allowed = ("loss.classification.", "data.val.", "data.test.")
    assert [key for key in missing if not key.startswith(allowed)] == []
    assert "keys as loss.objectness" in text
    assert "keys as data.train" in text


def test_help_says_range_default_and_meaning() -> None:
    text = settings_help(("train", "loss"))
    assert (
        "train.image_size  a whole number from 32 to 8192 and a multiple of 32 or auto; default 640"
        in (text)
    )
    assert "Side of the square network input, pixels, multiple of 32; auto:" in text
    assert "loss.classification.gain  a number of at least 0; default 0.5" in text
    assert "loss.objectness.alpha  a number from 0 to 1 or a list of numbers from 0 to 1" in text
    assert "\n  augment." not in text


def test_help_fits_100_columns() -> None:
    assert max(map(len, settings_help().splitlines())) <= 100


def test_help_is_printed_with_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_train_command(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith("usage: train.py")
    assert out.count("\n") <= 60
    assert "--help train.optimizer" in out
    for section in ("data", "model", "loss", "train", "augment", "eval", "run", "hooks"):
        assert f"\n  {section} " in out


def help_on(topic: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str, object]:
    with pytest.raises(SystemExit) as caught:
        parse_train_command(["--cfg", "x.yaml", "--help", topic])
    captured = capsys.readouterr()
    return captured.out, captured.err, caught.value.code


def test_help_on_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    out, _, code = help_on("train.optimizer", capsys)
    assert code == 0
    assert "train.optimizer.name  one of sgd, adam, adamw; default sgd" in out
    assert "train.optimizer.lr  a number above 0" in out
    assert "train.epochs" not in out
    assert "augment." not in out


def test_help_on_a_section_and_on_one_key(capsys: pytest.CaptureFixture[str]) -> None:
    out, _, _ = help_on("augment", capsys)
    assert "augment.mosaic " in out
    assert "train." not in out
    out, _, _ = help_on("train.image_size", capsys)
    assert out.startswith("  train.image_size  a whole number from 32")
    assert out.count("train.") == 1


def test_help_on_everything(capsys: pytest.CaptureFixture[str]) -> None:
    out, _, _ = help_on("all", capsys)
    assert out.rstrip("\n") == settings_help()


@pytest.mark.parametrize("topic", [*dict.fromkeys(key for key in all_keys())])
def test_every_key_has_help(topic: str) -> None:
    assert topic.rpartition(".")[2] in topic_help(topic)


@pytest.mark.parametrize(
    ("topic", "said"),
    [
        ("train.optimiser", "did you mean --help train.optimizer?"),
        ("trian", "no section or key of this name"),
        ("nonsense", "no section or key of this name; --help all lists every key"),
        ("imgsz", "of this name; here that is train.image_size=N; --help all"),
        ("train.amp", "here that is train.precision=auto"),
        ("optimizer", "of this name; here that is train.optimizer.name=NAME; --help all"),
        ("train.image_size.x", "no section or key"),
    ],
)
def test_help_on_nothing(topic: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    out, error, code = help_on(topic, capsys)
    assert (out, code, error.count("\n")) == ("", 2, 1)
    assert said in error


def test_another_program_lists_its_sections(capsys: pytest.CaptureFixture[str]) -> None:
    parser = CommandParser("val.py", "Validate.", sections=("eval",))
    parser.add_argument("--weights", required=True)
    assert parser.parse(["eval.iou_threshold=0.5", "--weights", "w"]).weights == "w"
    with pytest.raises(SystemExit):
        parser.parse(["--help"])
    out = capsys.readouterr().out
    assert "\n  eval " in out
    assert "\n  train " not in out
    with pytest.raises(SystemExit):
        parser.parse(["--help", "all"])
    out = capsys.readouterr().out
    assert "eval.iou_threshold" in out
    assert "train.epochs" not in out


@pytest.mark.parametrize("program", ["train", "val", "predict", "export", "list_runs", "migrate"])
def test_every_program_tells_the_version(
    program: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{program}.py", "--version"])
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(program).main()
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"focaldet {focaldet.__version__}\n"


@pytest.mark.slow
def test_help_and_loading_import_neither_torch_nor_numpy() -> None:
    code = (
        "import sys, commands.parser, configs.reading.load, commands.settings_help as h;"
        "h.settings_help();"
        "heavy = {'torch', 'numpy', 'cv2', 'data', 'models', 'utils'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
