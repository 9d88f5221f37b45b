import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from utils.runtime.command import run_command
from utils.runtime.errors import UserError


class ConfigError(ValueError):
    """A second kind of user error, as entry points have it."""


def outcome(
    error: BaseException | None, capsys: pytest.CaptureFixture[str], code: int | None = None
) -> tuple[object, str]:
    def main() -> int | None:
        if error is not None:
            raise error
        return code

    with pytest.raises(SystemExit) as leaving:
        run_command(main, user_errors=(UserError, ConfigError))
    return leaving.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("code", "expected"), [(None, 0), (0, 0), (1, 1)])
def test_success_gives_the_code_of_main(
    code: int | None, expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(None, capsys, code) == (expected, "")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("x.txt: empty; add labels"), (2, "error: x.txt: empty; add labels\n")),
        (ConfigError("train.epochs: -1"), (2, "error: train.epochs: -1\n")),
        (KeyboardInterrupt(), (130, "interrupted\n")),
        (KeyboardInterrupt("stopped at epoch 1"), (130, "stopped at epoch 1\n")),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/x"),
            (2, "error: runs/x: No space left on device\n"),
        ),
        (
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "runs"),
            (2, "error: runs: Permission denied\n"),
        ),
    ],
)
def test_mistakes_of_the_user_are_one_line(
    error: BaseException, expected: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(error, capsys) == expected


@pytest.mark.parametrize("error", [ValueError("bug"), OSError(errno.EIO, "Input/output error")])
def test_mistakes_of_the_program_keep_their_traceback(error: Exception) -> None:
    def main() -> None:
        raise error

    with pytest.raises(type(error)):
        run_command(main, user_errors=(UserError,))


def test_process_ends_without_a_traceback() -> None:
    code = (
        "from utils.runtime.command import run_command\n"
        "def main(): raise LookupError('what, where, what to do')\n"
        "run_command(main, user_errors=(LookupError,))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "error: what, where, what to do\n"
