"""Compare losses, or anything else, as an experiment: python compare.py --cfg DESIGN.yaml.

torch is imported only after the design proved right, so that help and mistakes appear at once.
"""

import logging
from typing import TYPE_CHECKING

from configs.errors import ConfigError
from utils.runtime.command import run_command
from utils.runtime.errors import UserError
from utils.runtime.progress import start_logging
from utils.runtime.screen import show
from utils.runtime.threads import prepare_environment

if TYPE_CHECKING:
    from configs.compare_cli import PowerQuestion, RunComparison


def main() -> None:
    """Read the command line and do what it asks for."""
    from configs.compare_cli import (
        JudgeRun,
        ReportComparison,
        ResumeRun,
        RunComparison,
        TrainRun,
        parse_compare_command,
    )

    command = parse_compare_command()
    start_logging()
    prepare_environment()
    if isinstance(command, RunComparison):
        run(command)
    elif isinstance(command, ReportComparison):
        from assembly.comparison import report

        report(command.folder)
    elif isinstance(command, TrainRun):
        from assembly.compared_run import train_and_judge

        train_and_judge(command.cfg, command.overrides)
    elif isinstance(command, ResumeRun):
        from assembly.compared_run import resume_and_judge

        resume_and_judge(command.folder, command.overrides)
    elif isinstance(command, JudgeRun):
        from assembly.judged_run import judge_run

        judge_run(command.folder)
    else:
        print_power(command)


def run(command: "RunComparison") -> None:
    """Run a comparison, or go on with it."""
    from configs.design import load_design

    design = load_design(command.cfg, command.overrides)
    for note in dict.fromkeys(note for arm in design.arms.values() for note in arm.notes):
        logging.info(note)
    from assembly.comparison import compare, plan

    plan(design) if command.plan_only else compare(design)


def print_power(question: "PowerQuestion") -> None:
    """Print what various numbers of seeds can find."""
    from utils.comparison.power import Design, power
    from utils.report.power_table import power_table

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
