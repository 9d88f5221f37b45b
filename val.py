"""Evaluate a model: python val.py --weights runs/NAME/best.safetensors [--data D] [--split S]."""

from utils.runtime import starting  # isort: split

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError
from utils.runtime.screen import show

if TYPE_CHECKING:
    from commands.val.cli import ValCommand
    from commands.val.run import Evaluation


def main() -> None:
    """Read the command line, evaluate, print and write the numbers."""
    with starting.importing():
        from commands.val.cli import parse_val_command
        from utils.runtime.machine.threads import prepare_environment
        from utils.runtime.progress import start_logging
    command = parse_val_command()
    start_logging()
    prepare_environment()
    require_writable(command)
    if command.task == "speed":
        report_speed(command)
        return
    with starting.importing():
        from commands.val.run import evaluate_weights
        from utils.report.tables.tables import format_result
        from utils.structures.results import results_json
    judged = evaluate_weights(command)
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
    show(format_result(judged.result))
    if command.threshold_report or command.plots is not None:
        report_further(command, judged)


def require_writable(command: "ValCommand") -> None:
    """Refuse, before the work is done, files that cannot be written or that are the weights."""
    with starting.importing():
        from utils.runtime.files.targets import require_target
    inputs = [command.weights]
    for option, path in (("--json", command.json), ("--save-detections", command.save_detections)):
        if path is not None:
            require_target(path, option=option, inputs=inputs)
            inputs.append(path)


def report_speed(command: "ValCommand") -> None:
    """Measure, print and write how long the stages take."""
    with starting.importing():
        from commands.val.speed import measure_speed
    measured = measure_speed(command)
    for line in measured.lines():
        show(line)
    if command.json is not None:
        write_json_text(command.json, measured.to_json())


def report_further(command: "ValCommand", judged: "Evaluation") -> None:
    """Print the thresholds and write the page, as asked for."""
    from commands.val.report import analyse_evaluation, write_evaluation_report
    from utils.report.tables.tables import threshold_table

    analysis = analyse_evaluation(judged)
    if command.threshold_report:
        show(f"\n{threshold_table(analysis, judged.split.class_names)}")
    if command.plots is not None:
        facts = {"weights": "/".join(command.weights.resolve().parts[-2:]), **judged.facts}
        write_evaluation_report(command.plots, judged, analysis, facts=facts)


def write_json_text(path: Path, content: object) -> None:
    """Write JSON to a file the user named."""
    from utils.runtime.files.atomic import write_text

    write_text(path, json.dumps(content, indent=None) + "\n")
    logging.info("written: %s", path)


if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
