"""What migrate.py does; it needs nothing but settings."""

from commands.migrate.cli import MigrateCommand
from configs.errors import ConfigError
from configs.reading.load import load_experiment
from configs.reading.migrate import migrate
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_text


def write_migrated(command: MigrateCommand) -> str:
    """Write an experiment from the files of another trainer; return what to say of it.

    Raises:
        UserError, ConfigError: a file cannot be read, says nothing that is known, or the target is
            there already.
    """
    text = migrate(command.files)
    if command.out.exists():
        raise UserError(f"{command.out} is there already; name another file with --out FILE")
    write_text(command.out, text)
    try:
        load_experiment(command.out)
    except ConfigError as error:
        if str(error).startswith("data is missing"):
            return f"written: {command.out}; train with train.py --cfg {command.out} data=FOLDER"
        return f"written: {command.out}; before it trains, change there:\n{error}"
    return f"written: {command.out}; train with train.py --cfg {command.out}"
