"""Find objects: python predict.py --weights runs/NAME/best.safetensors --source FOLDER."""

from utils.runtime import starting  # isort: split

import os
import warnings

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError


def main() -> None:
    """Read the command line, predict, say what was found."""
    with starting.importing():
        from commands.predict.cli import parse_predict_command
        from utils.runtime.machine.threads import prepare_environment
        from utils.runtime.progress import start_logging
    command = parse_predict_command()
    prepare_environment()
    # The decoders of OpenCV comment every damaged packet; what is skipped is counted instead.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    # Large pictures are what people have; those beyond twice this size are refused as faulty.
    warnings.filterwarnings("ignore", message="Image size .* exceeds limit")
    with starting.importing():
        from commands.predict.run import predict
    start_logging()
    predict(command)


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
