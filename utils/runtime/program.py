"""Location of FocalDet's programs: beside the packages, or in the installed package."""

import shlex
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
"""Folder of the packages: a checkout, or the installed package."""
_OWN_NAME = "utils.runtime.program"
_PREFIX = __name__.removesuffix(_OWN_NAME)
"""Prefix of all module names: empty in a checkout, else `focaldet.`"""


IMPORT_ROOT = ROOT.parent if _PREFIX else ROOT
"""Folder that has to be on `sys.path` for the modules to be found by their names."""


def program_file(name: str) -> Path:
    """Return the file of a program such as `train`, to be run as a script."""
    return ROOT / "programs" / f"{name}.py" if _PREFIX else ROOT / f"{name}.py"


def program_module(name: str) -> str:
    """Return the module of a program such as `train`, or of `focaldet` itself."""
    if name == "focaldet":
        return _PREFIX.removesuffix(".") or name
    return f"{_PREFIX}programs.{name}" if _PREFIX else name


def own_module(name: str) -> str:
    """Return the importable name of a module of ours that a table names."""
    return _PREFIX + name


def command_line(arguments: Sequence[str]) -> str:
    """Return what a person types to start a program with `arguments`, its own name the first."""
    program, *rest = arguments or ("train.py",)
    start = program if program.startswith("focaldet ") else f"python {shlex.quote(program)}"
    return " ".join((start, *map(shlex.quote, rest)))
