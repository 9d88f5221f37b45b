"""Write an experiment from a YOLOv5 or Ultralytics run: python migrate.py hyp.yaml opt.yaml."""

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError


def main() -> None:
    """Read the command line, write the experiment, say where it is."""
    from commands.migrate.cli import parse_migrate_command
    from utils.runtime.screen import show

    command = parse_migrate_command()
    from commands.migrate.run import write_migrated

    show(write_migrated(command))


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
