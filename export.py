"""Write weights for other programs: python export.py --weights best.safetensors --format onnx."""

from utils.runtime import starting  # isort: split

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError


def main() -> None:
    """Read the command line, write the files, say how far they are from PyTorch."""
    with starting.importing():
        from commands.export.cli import parse_export_command
        from utils.runtime.machine.threads import prepare_environment
        from utils.runtime.progress import start_logging
    command = parse_export_command()
    start_logging()
    prepare_environment()
    with starting.importing():
        from commands.export.run import export
    export(command)


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
