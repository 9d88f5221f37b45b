"""Forecast of number, power and time of a comparison's runs, before training."""

from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path

from commands.compare.side_by_side import Measured
from configs.reading.design import LoadedDesign
from configs.schema.comparison import ComparisonSettings
from configs.schema.tuning import SearchedTrials
from utils.comparison.runs.plan import PlannedRun
from utils.comparison.runs.stored_evaluation import is_judged
from utils.comparison.statistics.power import Design, planned_design, power
from utils.comparison.statistics.verdict import fewest_seeds


def forecast(
    design: LoadedDesign, runs: Sequence[PlannedRun], trials: Sequence[Path]
) -> Iterator[str]:
    """Yield sentences on the number of runs and their power.

    Args:
        design: the comparison.
        runs: its training runs.
        trials: folders of those of the tuning before.
    """
    settings = design.settings
    left = sum(not run.is_done for run in runs)
    yield (
        f"{len(settings.arms)} arms x {len(settings.seeds)} "
        f"{'folds' if settings.folds else 'seeds'}: {len(runs)} training runs, "
        f"{left} of them to do"
    )
    if settings.tuning is not None:
        trials_left = sum(not is_judged(folder) for folder in trials)
        yield (
            f"tuning before that: {len(trials)} training runs of "
            f"{100 * settings.tuning.epochs_share:.0f} % of the length, {trials_left} of them to do"
        )
    yield from power_sentences(planned_design(settings), len(settings.seeds))


def rounds_left(
    settings: ComparisonSettings, runs: Sequence[PlannedRun], trials: Sequence[Path], jobs: int
) -> float:
    """Return what is left in lengths of a whole run, so many at a time; fewer take as long."""
    rounds = float(ceil(sum(not run.is_done for run in runs) / jobs))
    if settings.tuning is not None:
        trials_left = sum(not is_judged(folder) for folder in trials)
        at_once = trials_at_once(settings, jobs)
        rounds += ceil(trials_left / at_once) * settings.tuning.epochs_share
    return rounds


def time_sentence(measured: Measured, rounds: float) -> str:
    """Return how long a run takes, and so many rounds of runs side by side."""
    one = measured.times.duration(measured.steps, besides=measured.besides_s)
    whole = measured.times.duration(measured.steps * rounds, besides=measured.besides_s * rounds)
    return (
        f"{measured.way}: one training takes about {one} by {measured.times.measured} measured "
        f"steps, start and evaluations included, all that is left {whole}"
    )


def trials_at_once(settings: ComparisonSettings, jobs: int) -> int:
    """Return how many tuning runs are trained at a time: tpe waits for results to learn from."""
    tuning = settings.tuning
    if not isinstance(tuning, SearchedTrials):
        return jobs
    return min(jobs, len(settings.arms) * len(tuning.rounds[0]) * len(tuning.seeds))


def power_sentences(design: Design, num_seeds: int) -> Iterator[str]:
    """Yield sentences on the power of so many seeds under a design."""
    fewest = fewest_seeds(design.level, num_arms=design.num_arms, correction=design.correction)
    if num_seeds < 2:
        yield "with one seed every verdict is inconclusive: the noise between seeds is unknown"
        return
    plan = power(design, num_seeds)
    if num_seeds < fewest:
        yield (
            f"{num_seeds} seeds are too few for a significant difference with "
            f"{_arms(design.num_arms)} against the baseline and correction={design.correction}: at "
            f"least {fewest} are needed; no verdict can be better or worse"
        )
    elif plan.detectable is not None:
        yield (
            f"a true difference of {plan.detectable:.2f} points would be found with a probability "
            f"of 80 %, if seeds differ by {design.sd:g} points (test.expected_sd)"
        )
    yield (
        f"equal arms would be called equivalent within {design.margin:g} points with a probability "
        f"of {100 * plan.power_of_equivalence:.0f} %"
    )


def _arms(number: int) -> str:
    return "1 arm" if number == 1 else f"{number} arms"
