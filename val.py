"""Judge weights: python val.py --weights runs/NAME/best.safetensors [--data D] [--split test]."""

import json
import logging
from pathlib import Path

from configs.errors import ConfigError
from configs.val_cli import parse_val_command
from utils.runtime.command import run_command
from utils.runtime.errors import UserError
from utils.runtime.progress import start_logging
from utils.runtime.threads import prepare_environment


def main() -> None:
    """Read the command line, evaluate, print and write the numbers."""
    command = parse_val_command()
    start_logging()
    prepare_environment()
    from assembly.judging import judge
    from utils.metrics.results_json import results_json
    from utils.report.tables import format_result

    judged = judge(command)
    print(format_result(judged.result))
    if command.json is not None:
        content: object = results_json(
            judged.result,
            epochs=judged.epochs,
            images_per_second=judged.images_per_second,
            config_hash=judged.config_hash,
        )
        write_json_text(command.json, content)
    if command.save_detections is not None:
        write_json_text(command.save_detections, judged.detections)


def write_json_text(path: Path, content: object) -> None:
    """Write JSON to a file the user named."""
    path.write_text(json.dumps(content, indent=None) + "\n", encoding="utf-8")
    logging.info("written: %s", path)


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
