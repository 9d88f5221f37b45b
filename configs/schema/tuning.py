"""Tuning before a comparison: the same number of trials for each arm, listed or searched for.

What a trial changes is checked against the experiment's own schema by
`configs/reading/design_checks.py`.
"""

import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from configs.schema.settings import Settings

Overrides = dict[str, Any]
EVERY_ARM = "all"
"""Name in a search space that stands for all arms."""
_LEAF_KEYS = frozenset({"low", "high", "choices"})
_RANGE, _CHOICES, _LISTED, _SEARCHED = "a range", "a choice", "a list", "a search"
UNION_TAGS = frozenset({_RANGE, _CHOICES, _LISTED, _SEARCHED})
"""Words that pydantic puts among the keys of a location; none of them is a key."""


class Range(Settings):
    """Numbers between two ends, both included."""

    low: float
    """Lower end."""

    high: float
    """Upper end, above `low`."""

    log: bool = False
    """Sample on a logarithmic scale, for gains and rates; needs low above 0."""

    step: float | None = Field(default=None, gt=0)
    """Distance between values, from `low`; null allows any number. Integer keys need an integer
    step."""

    @model_validator(mode="after")
    def _ends(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low must be below high; now {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0; now {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(f"step {self.step:g} is longer than the range")
        return self

    @property
    def num_values(self) -> float:
        """How many different values there are."""
        if self.step is None:
            return math.inf
        return math.floor((self.high - self.low) / self.step * (1 + 1e-12)) + 1

    @property
    def last(self) -> float:
        """The highest value: `high`, or the last step below it."""
        if self.step is None:
            return self.high
        return _rounded(self.low + self.step * (self.num_values - 1))

    def value(self, drawn: float) -> int | float:
        """Return a drawn number as it is tried: whole where all are, else four digits of it."""
        if self.step is None:
            return min(max(float(f"{drawn:.4g}"), self.low), self.high)
        is_whole = self.low.is_integer() and self.step.is_integer()
        return round(drawn) if is_whole else _rounded(drawn)

    @property
    def probes(self) -> tuple[int | float, ...]:
        """Values that show whether a key takes the range: the ends, and one in between."""
        between = self.low + (self.step or 0.382 * (self.high - self.low))
        return tuple(self.value(number) for number in (self.low, between, self.last))


def _rounded(number: float) -> float:
    """Return a sum of steps without what binary fractions add: 0.7, not 0.7000000000000001."""
    return float(f"{number:.12g}")


class Choices(Settings):
    """Values of any kind, such as numbers, null or a whole loss `{name: ..., ...}`."""

    choices: tuple[Any, ...] = Field(min_length=2, strict=False)
    """The values, each once."""

    @field_validator("choices")
    @classmethod
    def _each_once(cls, choices: tuple[Any, ...]) -> tuple[Any, ...]:
        texts = [json.dumps(choice, sort_keys=True) for choice in choices]
        twice = [text for text in texts if texts.count(text) > 1]
        if twice:
            raise ValueError(f"{twice[0]} is listed twice")
        return choices

    @property
    def num_values(self) -> float:
        """How many different values there are."""
        return len(self.choices)

    @property
    def probes(self) -> tuple[Any, ...]:
        """Values that show whether a key takes the choices: all of them."""
        return self.choices


def _kind_of_values(stated: Any) -> str:
    is_choices = "choices" in stated if isinstance(stated, dict) else isinstance(stated, Choices)
    return _CHOICES if is_choices else _RANGE


Values = Annotated[
    Annotated[Range, Tag(_RANGE)] | Annotated[Choices, Tag(_CHOICES)],
    Discriminator(_kind_of_values),
]
"""What may be tried for a key."""


class _Trials(Settings):
    """What listed and searched trials share."""

    epochs_share: float = Field(default=1 / 3, gt=0, le=1)
    """Length of a trial as a share of train.epochs."""

    seeds: tuple[int, ...] = Field(default=(1000, 1001), min_length=1)
    """Seeds of each trial; must differ from those of the comparison."""


class ListedTrials(_Trials):
    """Trials that the design lists."""

    trials: dict[str, tuple[Overrides, ...]]
    """Arm -> list of settings to try on top of the arm's own; as many for each arm."""

    @property
    def num_trials(self) -> int:
        """Trials of each arm."""
        return len(next(iter(self.trials.values()), ()))


class SearchedTrials(_Trials):
    """Trials that an Optuna sampler (package optuna) takes from a search space."""

    trials: int = Field(ge=2, le=10_000)
    """Trials of each arm."""

    sampler: Literal["random", "tpe"] = "random"
    """random samples trials independently, so that all can run at once; tpe samples the first third
    at random and the others near the best so far, so the trials of an arm run one by one."""

    search_seed: int = Field(default=0, ge=0)
    """Seed of the sampler: the same design tries the same settings. Keys that all arms search get
    the same values in all."""

    space: dict[str, dict[str, Values]]
    """Arm, or `all` -> key of the experiment -> {low, high, log, step} or {choices}; a key of the
    arm overrides one of all."""

    @field_validator("space", mode="before")
    @classmethod
    def _dotted_keys(cls, space: Any) -> Any:
        if not isinstance(space, dict):
            return space
        return {arm: _dotted(own) if isinstance(own, dict) else own for arm, own in space.items()}

    def space_of(self, arm: str) -> dict[str, Range | Choices]:
        """Return what is searched for an arm, keys of all arms first."""
        return {**self.space.get(EVERY_ARM, {}), **self.space.get(arm, {})}

    @property
    def num_trials(self) -> int:
        """Trials of each arm."""
        return self.trials

    @property
    def rounds(self) -> list[range]:
        """Numbers of the trials that may run together, round by round."""
        every = range(self.trials)
        return [every] if self.sampler == "random" else [range(n, n + 1) for n in every]

    @property
    def num_random(self) -> int:
        """Trials that tpe draws at random before it learns."""
        return max(2, self.trials // 3)

    def num_settings(self, arm: str) -> float:
        """Return how many different trials an arm can have."""
        return math.prod(values.num_values for values in self.space_of(arm).values())


def _dotted(stated: Mapping[str, Any], prefix: str = "") -> Overrides:
    """Return `{a: {b: {low: ...}}}` as `{a.b: {low: ...}}`; both ways of writing are read."""
    flat: Overrides = {}
    for name, value in stated.items():
        if isinstance(value, dict) and value and not _LEAF_KEYS & value.keys():
            flat |= _dotted(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _kind_of_trials(stated: Any) -> str:
    if not isinstance(stated, dict):
        return _SEARCHED if isinstance(stated, SearchedTrials) else _LISTED
    is_search = {"space", "sampler", "search_seed"} & stated.keys()
    return _SEARCHED if is_search or isinstance(stated.get("trials"), int) else _LISTED


TuningSettings = Annotated[
    Annotated[ListedTrials, Tag(_LISTED)] | Annotated[SearchedTrials, Tag(_SEARCHED)],
    Discriminator(_kind_of_trials),
]
"""Trials on the validation split before the comparison: as many for each arm."""
