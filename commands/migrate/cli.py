"""The command line of migrate.py."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from commands.parser import OneLineParser


@dataclass(frozen=True)
class MigrateCommand:
    """What migrate.py was asked to do."""

    files: tuple[Path, ...]
    out: Path


def parse_migrate_command(arguments: Sequence[str] | None = None) -> MigrateCommand:
    """Read the command line of migrate.py.

    Args:
        arguments: Without the program's name; the process's own where None.

    Raises:
        SystemExit: With code 2 after one line on stderr; with code 0 after `--help`.
    """
    by_command = sys.argv[0].startswith("focaldet ")
    parser = OneLineParser(
        prog=sys.argv[0] if by_command else "migrate.py",
        description="Write an experiment from the settings files of a YOLOv5 run (hyp.yaml, "
        "opt.yaml) or an Ultralytics run (args.yaml).",
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="hyp.yaml, opt.yaml")
    parser.add_argument(
        "--out", type=Path, default=Path("migrated.yaml"), help="default: migrated.yaml"
    )
    command = parser.parse_args(sys.argv[1:] if arguments is None else arguments)
    return MigrateCommand(files=tuple(command.files), out=command.out)
