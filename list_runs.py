"""List the runs in a folder: python list_runs.py [show RUN | compare A B]."""

from utils.runtime import starting  # isort: split

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError


def main() -> None:
    """Read the command line, print what was asked for."""
    with starting.importing():
        from commands.runs.cli import parse_runs_command
        from utils.runtime.screen import show
    command = parse_runs_command()
    with starting.importing():
        from commands.runs.run import answer
    show(answer(command))


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
