"""Copy the result of a comparison into the repository, with a page of verdicts beside it.

    python scripts/publish_comparison.py runs/compare/bccd-small docs/results/bccd [--pictures]

Pictures of the data set stay out of report.html unless --pictures asks for those that fit: not
every data set may be passed on. Prints the table of verdicts.
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from commands.compare.publication import publish
from utils.report.tables.tables import verdict_table
from utils.runtime.command import run_command
from utils.runtime.errors import UserError


def main() -> None:
    """Publish what the command line names."""
    parser = argparse.ArgumentParser(description="Copy a comparison's result into the repository.")
    parser.add_argument("run", type=Path, help="folder of a finished comparison")
    parser.add_argument("destination", type=Path, help="such as docs/results/bccd")
    parser.add_argument("--max-kib", type=int, default=1000, help="largest size of a file")
    parser.add_argument("--pictures", action="store_true", help="keep pictures of the data set")
    command = parser.parse_args()
    for path in publish(
        command.run, command.destination, most_kib=command.max_kib, pictures=command.pictures
    ):
        print(f"{path}: {path.stat().st_size // 1024} KiB", file=sys.stderr)
    numbers = command.destination / "comparison.json"
    print(verdict_table(json.loads(numbers.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    run_command(main, user_errors=(UserError,))
