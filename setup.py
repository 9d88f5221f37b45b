"""Builds the package `focaldet`: the folders of this repository below one name.

A checkout has its packages at the top (`models`, `utils`, ...), where they would collide with those
of whoever installs them. So a build copies them into `build/package/focaldet` and puts `focaldet.`
before every import of them; the programs become `focaldet.programs` and the command `focaldet`.
Everything else about the package stands in pyproject.toml.
"""

import io
import re
import shutil
import tokenize
from itertools import pairwise
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
STAGED = ROOT / "build" / "package"
PACKAGES = ("commands", "configs", "data", "models", "utils")
PROGRAMS = (
    *(
        "calibrate",
        "check_data",
        "compare",
        "convert",
        "export",
        "list_runs",
        "migrate",
        "predict",
        "train",
        "val",
    ),
)
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
COMMAND = re.compile(rf"\b(?:python )?({'|'.join(PROGRAMS)})\.py\b(?= |$|,|;|\.|:|\)|`|'|\")")
"""A program as texts name it; `"train.py"` alone is the name of a file and stays."""
WORDS = {"check_data": "check", "list_runs": "runs"}


def stage() -> None:
    """Write the package into `STAGED`, in place of what an earlier build left there."""
    shutil.rmtree(STAGED, ignore_errors=True)
    package = STAGED / "focaldet"
    package.mkdir(parents=True)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, package / name, ignore=LEFT_OUT)
    (package / "programs").mkdir()
    (package / "programs" / "__init__.py").write_text('"""The programs of FocalDet."""\n')
    for name in PROGRAMS:
        shutil.copy(ROOT / f"{name}.py", package / "programs")
    shutil.copy(ROOT / "focaldet.py", package / "__init__.py")
    shutil.copy(ROOT / "py.typed", package)
    (package / "__main__.py").write_text(
        '"""`python -m focaldet` is the command `focaldet`."""\n\n'
        "from focaldet.commands.console import main\n\nmain()\n"
    )
    for path in package.rglob("*.py"):
        path.write_text(below_focaldet(path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in package.rglob("*.yaml"):
        path.write_text(with_commands(path.read_text(encoding="utf-8")), encoding="utf-8")


def below_focaldet(source: str) -> str:
    """Return a module with its imports of ours below `focaldet`, programs named as commands.

    Raises:
        ValueError: `import models` without `from` binds a name that cannot be put below another.
    """
    lines = source.splitlines(keepends=True)
    edits: list[tuple[int, int, int, str]] = []
    starts = True
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    for token, following in pairwise(tokens):
        row, column = following.start
        is_ours = following.type == tokenize.NAME and following.string in PACKAGES
        if starts and is_ours and token.string == "from":
            edits.append((row, column, column, "focaldet."))
        elif starts and is_ours and token.string == "import":
            raise ValueError(f"line {row}: write from {following.string} import ...")
        text = with_commands(token.string) if _is_text(token) else token.string
        if text != token.string and token.start[0] == token.end[0]:
            edits.append((token.start[0], token.start[1], token.end[1], text))
        if token.type not in (tokenize.COMMENT, tokenize.NL):
            starts = token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
            starts = starts or token.type == tokenize.ENCODING or token.string in (":", ";")
    for row, start, end, text in sorted(edits, reverse=True):
        line = lines[row - 1]
        lines[row - 1] = line[:start] + text + line[end:]
    return "".join(lines)


def _is_text(token: tokenize.TokenInfo) -> bool:
    """Tell whether a token is text that a person may read; the name of a program alone is not."""
    is_string = token.type == tokenize.STRING or tokenize.tok_name[token.type] == "FSTRING_MIDDLE"
    return is_string and not re.fullmatch(r"[a-z]*['\"]\w+\.py['\"]", token.string)


def with_commands(text: str) -> str:
    """Return a text with `train.py` and its like written as `focaldet train`."""
    return COMMAND.sub(lambda found: f"focaldet {WORDS.get(found[1], found[1])}", text)


if __name__ == "__main__":
    stage()
    setup(
        packages=find_packages(str(STAGED)),
        package_dir={"": "build/package"},
        package_data={"": ["**/*.yaml", "**/*.html", "**/*.css", "py.typed"]},
        zip_safe=False,
    )
