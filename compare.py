"""Compare losses, or anything else, as an experiment: python compare.py --cfg DESIGN.yaml.

torch is imported only after the design proved right, so that help and mistakes appear at once.
"""

from utils.runtime import starting  # isort: split

import logging
from typing import TYPE_CHECKING

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError
from utils.runtime.screen import show

if TYPE_CHECKING:
    from commands.compare.cli import PowerQuestion, RunComparison


def main() -> None:
    """Read the command line and do what it asks for."""
    with starting.importing():
        from commands.compare.cli import (
            EvaluateRun,
            ReportComparison,
            ResumeRun,
            RunComparison,
            TrainRun,
            TryTraining,
            TuneExperiment,
            parse_compare_command,
        )
        from utils.runtime.machine.threads import prepare_environment
        from utils.runtime.progress import start_logging
    command = parse_compare_command()
    start_logging()
    prepare_environment()
    if isinstance(command, RunComparison):
        run(command)
    elif isinstance(command, TuneExperiment):
        with starting.importing():
            from commands.compare.run import tune
            from configs.reading.design import load_design
        show(str(tune(load_design(command.cfg, command.overrides, is_search=True))))
    elif isinstance(command, ReportComparison):
        with starting.importing():
            from commands.compare.run import report
        report(command.folder)
    elif isinstance(command, TrainRun):
        with starting.importing():
            from commands.compare.one_run import train_and_judge
        train_and_judge(command.cfg, command.overrides)
    elif isinstance(command, ResumeRun):
        with starting.importing():
            from commands.compare.one_run import resume_and_judge
        resume_and_judge(command.folder, command.overrides)
    elif isinstance(command, EvaluateRun):
        with starting.importing():
            from commands.compare.one_run import evaluate_run
        evaluate_run(command.folder)
    elif isinstance(command, TryTraining):
        with starting.importing():
            from commands.compare.side_by_side import answer_questions
        answer_questions(command.cfg, command.overrides)
    else:
        print_power(command)


def run(command: "RunComparison") -> None:
    """Run a comparison, or go on with it."""
    with starting.importing():
        from configs.reading.design import load_design
    design = load_design(command.cfg, command.overrides)
    for note in dict.fromkeys(note for arm in design.arms.values() for note in arm.notes):
        logging.info(note)
    with starting.importing():
        from commands.compare.run import compare, plan
    plan(design) if command.plan_only else compare(design)


def print_power(question: "PowerQuestion") -> None:
    """Print what various numbers of seeds can find."""
    with starting.importing():
        from utils.comparison.statistics.power import Design, power
        from utils.report.tables.tables import power_table
    design = Design(
        sd=question.sd,
        margin=question.margin,
        num_arms=question.arms,
        correction=question.correction,
    )
    show(power_table([power(design, seeds) for seeds in SEEDS], question.margin).rstrip("\n"))


SEEDS = (3, 5, 6, 7, 8, 10, 12, 16, 20)

if __name__ == "__main__":
    run_command(main, user_errors=(ConfigError, UserError))
