"""Samples the trials of an arm with Optuna and keeps parameters and results in a journal.

A trial is a function of the space, its number, the seed of the search and, where the sampler
learns, of the trials before it. So an interrupted trial is found or sampled again unchanged, on any
machine, and a lost journal can be rebuilt.
"""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from configs.schema.tuning import Choices, Overrides, Range, SearchedTrials
from utils.runtime.errors import UserError

_NUMBER = "number"


def require_optuna() -> None:
    """Raise UserError unless the search library is installed."""
    if find_spec("optuna") is None:
        raise UserError("tuning.space needs the package optuna: pip install optuna")


class ArmSearch:
    """The trials of one arm; several machines may sample and report at once."""

    def __init__(self, arm: str, tuning: SearchedTrials, *, journal: Path) -> None:
        """Open the arm's part of a journal, or begin it.

        Args:
            arm: its name.
            tuning: how many trials, of what, by which sampler.
            journal: file of all arms.

        Raises:
            UserError: Optuna is not installed, or cannot read the journal.
        """
        require_optuna()
        self._optuna: Any = import_module("optuna")
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self._tuning = tuning
        self._space = tuning.space_of(arm)
        self._distributions = {key: self._distribution(own) for key, own in self._space.items()}
        backend = import_module("optuna.storages.journal").JournalFileBackend(str(journal))
        try:
            self._study = self._optuna.create_study(
                study_name=arm,
                storage=self._optuna.storages.JournalStorage(backend),
                direction="maximize",
                load_if_exists=True,
            )
        except (KeyError, ValueError) as error:
            raise UserError(
                f"{journal} is damaged ({error}); remove it: the same trials are drawn again, and "
                "finished ones stay"
            ) from error

    def draw(self, number: int) -> Overrides:
        """Return the settings of trial `number`, from 0; with tpe all before it have been told."""
        if number not in self._trials():
            drawn = self._drawn(number)
            self._study.add_trial(
                self._optuna.trial.create_trial(
                    state=self._optuna.trial.TrialState.RUNNING,
                    params=drawn,
                    distributions=self._distributions,
                    user_attrs={_NUMBER: number},
                )
            )
        params = self._trials()[number].params
        return {key: _tried(own, params[key]) for key, own in self._space.items()}

    def tell(self, number: int, score: float | None) -> None:
        """Record the result of a trial, higher is better; None: it failed. The first one counts."""
        trial = self._trials()[number]
        failed = self._optuna.trial.TrialState.FAIL if score is None else None
        if not trial.state.is_finished():
            self._study.tell(trial.number, score, state=failed, skip_if_finished=True)

    def _trials(self) -> dict[int, Any]:
        """Return the trials of the journal; of one that two machines sampled at once the first."""
        found: dict[int, Any] = {}
        for trial in self._study.get_trials():
            found.setdefault(trial.user_attrs[_NUMBER], trial)
        return found

    def _drawn(self, number: int) -> dict[str, float]:
        """Sample outside the journal, so that after a kill it has whole trials only."""
        study = self._optuna.create_study(direction="maximize", sampler=self._sampler(number))
        complete = self._optuna.trial.TrialState.COMPLETE
        earlier = sorted(item for item in self._trials().items() if item[0] < number)
        study.add_trials([trial for _, trial in earlier if trial.state == complete])
        params = study.ask(self._distributions).params
        return {key: _kept(own, params[key]) for key, own in self._space.items()}

    def _sampler(self, number: int) -> Any:
        """Return a fresh sampler: the state of a used one would not survive a kill."""
        samplers, entropy = self._optuna.samplers, (self._tuning.search_seed, number)
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        if self._tuning.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed, n_startup_trials=self._tuning.num_random)

    def _distribution(self, values: Range | Choices) -> Any:
        distributions = self._optuna.distributions
        if isinstance(values, Choices):
            # Positions: Optuna compares and stores plain values only, a loss is none.
            return distributions.CategoricalDistribution(range(len(values.choices)))
        return distributions.FloatDistribution(
            values.low, values.last, log=values.log, step=values.step
        )


def _kept(values: Range | Choices, drawn: Any) -> Any:
    return drawn if isinstance(values, Choices) else values.value(drawn)


def _tried(values: Range | Choices, kept: Any) -> Any:
    return values.choices[kept] if isinstance(values, Choices) else values.value(kept)
