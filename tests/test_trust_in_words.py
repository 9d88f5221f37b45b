"""Help, docstrings and documents say which files are data and which are programs."""

from pathlib import Path

import pytest

import focaldet
from commands.build.detector import load_detector
from utils.export.trust import PROGRAMS, require_data
from utils.runtime.errors import UserError

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "commands/view_options.py"])
def test_programs_and_data_are_told_apart(name: str) -> None:
    text = " ".join((ROOT / name).read_text().split())
    for ending in (".safetensors", ".pt", ".onnx", *PROGRAMS):
        assert ending in text
    assert "program" in text
    assert "OpenVINO" in text
    assert "--trust" in text or "TRUST_HELP" in text


def test_the_api_says_it() -> None:
    words = " ".join((focaldet.load_detector.__doc__ or "").split())
    for word in (".torchscript", "program", ".safetensors, .pt and .onnx are data"):
        assert word in words


@pytest.mark.parametrize("program", ["val.py", "predict.py"])
def test_the_help_says_it(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    from commands.predict.cli import parse_predict_command
    from commands.val.cli import parse_val_command

    parse = parse_val_command if program == "val.py" else parse_predict_command
    with pytest.raises(SystemExit):
        parse(["--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "run a file that is a program: .torchscript" in words


@pytest.mark.parametrize("ending", [".engine", ".plan"])
def test_engines_are_never_run(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{ending}"
    path.write_bytes(b"x")
    for trusted in (False, True):
        with pytest.raises(UserError, match="TensorRT engine, a program"):
            load_detector(path, trusted=trusted)


def test_trust_is_asked_before_the_file_is_opened(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--trust"):
        require_data(tmp_path / "absent.torchscript", trusted=False)


def test_only_tensorrt_is_written_unchecked() -> None:
    from utils.export.formats import FORMATS

    assert [name for name, one in FORMATS.items() if one.session is None] == ["tensorrt"]
    text = " ".join((ROOT / "commands/export/cli.py").read_text().split())
    assert "each file but TensorRT's is compared with PyTorch" in text
