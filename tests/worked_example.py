"""A copy of the program with an extension put in, to count the places that it takes."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


NOT_THE_PROGRAM = {"benchmarks", "examples", "tests"}


def extended_copy(
    target: Path, changes: Mapping[Path, Mapping[str, str]], *, tests: bool = False
) -> list[str]:
    """Copy the packages of the program and put an extension in; return the files it touches.

    Args:
        target: of the copy.
        changes: by file, below the repository's root: what to replace, and with what. A file that
            is not there is made of the replacement of "".
        tests: copy the tests, too, for what they share.
    """
    for package in {init.parent.name for init in REPOSITORY.glob("*/__init__.py")}:
        if package in NOT_THE_PROGRAM and not (tests and package == "tests"):
            continue
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / package, target / package, ignore=ignored)
    for path, replacements in changes.items():
        file = target / path
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        for old, new in replacements.items():
            assert text.count(old) == 1 or not (text or old), f"{path}: {old!r} is not there once"
            text = text.replace(old, new, 1)
        file.write_text(text, encoding="utf-8")
    return [str(path) for path in changes]


def run_in(folder: Path, program: str, *arguments: str) -> str:
    """Run a Python program in the copy; return what it prints."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def below_root(module_file: str | None) -> Path:
    """Return a module's file below the repository's root, wherever it has moved to."""
    return Path(str(module_file)).relative_to(REPOSITORY)
