"""A comparison: arms, seeds, and the decision rule of the verdict.

What an arm changes is checked against the experiment's own schema by `configs/reading/design.py`.
"""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from configs.schema.settings import Settings
from configs.schema.tuning import EVERY_ARM, ListedTrials, Overrides, SearchedTrials, TuningSettings

MOST_FOLDS = 100
MOST_JOBS = 1024
_ARM_NAME = r"^[A-Za-z0-9][\w.-]*$"


def _number_or_auto(value: object) -> object:
    """Give the two kinds of `jobs` one message."""
    if value == "auto" or (type(value) is int and 1 <= value <= MOST_JOBS):
        return value
    raise ValueError(f"must be auto or a whole number from 1 to {MOST_JOBS}")


class VerdictSettings(Settings):
    """Rule of the verdict, fixed before training; the test split is evaluated once, after it."""

    margin: float = Field(default=0.5, gt=0, le=100)
    """Difference in mAP50-95, in points of 100, below which arms count as equivalent."""

    level: float = Field(default=0.95, gt=0.5, lt=1)
    """Level of the confidence intervals; a p-value has to fall below 1 - level."""

    bootstrap: int = Field(default=2000, ge=100, le=100_000)
    """Replicates of the hierarchical bootstrap."""

    weights: Literal["auto", "counts", "dirichlet"] = "auto"
    """How replicates weight images: counts draws them with replacement, dirichlet gives each a
    random positive weight, so that no class is ever absent; auto takes dirichlet where a class is
    on fewer than 50 images."""

    interval: Literal["bca", "percentile"] = "bca"
    """Which of the two intervals decides; both are reported."""

    correction: Literal["holm", "max", "none"] = "holm"
    """Correction for testing several arms: holm multiplies p-values by up to the number of arms
    (five arms need eight seeds); max flips the seeds of all arms together and compares with the
    largest difference, for which six seeds can be enough; none corrects nothing."""

    discovery_rate: float = Field(default=0.05, gt=0, lt=1)
    """False discovery rate of the differences between classes (Benjamini-Hochberg)."""

    expected_sd: float = Field(default=1.0, gt=0)
    """Assumed standard deviation over seeds of an arm's difference to the baseline, points; used
    only for the power analysis before training. Small data sets show 1 to 2, COCO 0.3."""

    cut_share: float = Field(default=0.5, gt=0, lt=1)
    """Share of the validation images that become the test split where the data set has none;
    chosen by a hash of their file names and removed from validation."""


class PairingSettings(Settings):
    """What must be equal across the arms of a seed, checked by hashes."""

    weights: bool = True
    """Initial weights; false where arms differ in the network or its priors."""

    batches: bool = True
    """The first 100 training batches; false where arms differ in data or augmentation."""


class ComparisonSettings(Settings):
    """One comparison."""

    experiment: str
    """YAML of the experiment that all arms share; relative to this file, then to configs/."""

    settings: Overrides = Field(default={})
    """Settings of the experiment that all arms change, such as a smaller budget."""

    arms: dict[str, Overrides] = Field(min_length=1)
    """Name -> settings of the experiment that this arm changes; any key but seeds, data and run.
    Two at least; `compare.py tune` takes one, and needs none."""

    baseline: str
    """The arm that the others are compared with."""

    seeds: tuple[int, ...] = Field(default=(0, 1, 2, 3, 4, 5), min_length=1)
    """One run per arm and seed; fewer than six can never be significant. Seeds may be added later:
    finished runs are kept."""

    folds: int | None = Field(default=None, ge=2, le=MOST_FOLDS)
    """Cross-validation: cut train and validation together into so many folds and train each arm
    once without each of them, which is then its test split. Run `seedK` is fold K, with seed K:
    folds take the place of seeds. A test split of the data stays untouched. Folds share training
    images, so intervals are optimistic."""

    tuning: TuningSettings | None = None
    """Search for each arm's best settings first; null compares the arms as they are."""

    test: VerdictSettings = VerdictSettings()
    """The rule of the verdict."""

    pairing: PairingSettings = PairingSettings()
    """What has to be equal across the arms of a seed."""

    jobs: Annotated[int | Literal["auto"], BeforeValidator(_number_or_auto)] = 1
    """Runs at the same time on this machine, up to 1024. They share its cores: each uses as many
    threads as its share has cores, unless train.threads is a number. auto measures for about a
    minute which numbers of runs and threads finish all runs soonest (on a GPU: one run at a time).
    All runs of a comparison use the same number of threads, because the last digits depend on
    it."""

    engine: Literal["local", "ray"] = "local"
    """local starts processes here, and any number of machines may work on one shared folder; ray
    sends them to a Ray cluster whose nodes share folder, program and data, named by $RAY_ADDRESS,
    else to one on this machine (needs the package ray)."""

    folder: str = "runs/compare"
    """Folder that contains the comparisons, relative to the working directory."""

    name: str | None = Field(default=None, pattern=r"^[\w.-]+$")
    """Name of the comparison's folder; null names it after this file and a hash of the design. An
    existing comparison is continued."""

    @model_validator(mode="after")
    def _engine_that_can_try(self) -> "ComparisonSettings":
        if self.jobs == "auto" and self.engine == "ray":
            raise ValueError(
                "jobs: auto tries this machine alone; with engine: ray set how many runs share a "
                "node as a number"
            )
        return self

    @model_validator(mode="after")
    def _names_and_seeds(self) -> "ComparisonSettings":
        wrong = [name for name in self.arms if not re.match(_ARM_NAME, name)]
        if wrong:
            raise ValueError(f"arms: {wrong[0]!r} must be a word of letters, digits, _ . and -")
        if self.baseline not in self.arms:
            raise ValueError(f"baseline: {self.baseline!r} is none of {', '.join(self.arms)}")
        if self.folds is not None and self.seeds != tuple(range(self.folds)):
            raise ValueError(f"seeds: with folds they are 0 to {self.folds - 1}; leave them out")
        if len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds: must be different whole numbers from 0")
        return self

    @model_validator(mode="after")
    def _equal_budgets(self) -> "ComparisonSettings":
        if self.tuning is None:
            return self
        if self.folds is not None:
            raise ValueError(
                "folds and tuning exclude each other: trials would be chosen on images that judge "
                "them; tune first, and compare the best settings in folds"
            )
        if isinstance(self.tuning, ListedTrials):
            self._check_lists(self.tuning)
        else:
            self._check_space(self.tuning)
        if set(self.tuning.seeds) & set(self.seeds):
            raise ValueError("tuning.seeds: must not be among seeds, which the verdict needs fresh")
        return self

    def _check_lists(self, tuning: ListedTrials) -> None:
        counts = {name: len(trials) for name, trials in tuning.trials.items()}
        if set(counts) != set(self.arms) or len(set(counts.values())) != 1 or 0 in counts.values():
            listed = ", ".join(f"{name} {counts.get(name, 0)}" for name in self.arms)
            raise ValueError(f"tuning.trials: every arm needs as many trials; now {listed}")

    def _check_space(self, tuning: SearchedTrials) -> None:
        foreign = [name for name in tuning.space if name not in (EVERY_ARM, *self.arms)]
        if foreign:
            known = ", ".join((EVERY_ARM, *self.arms))
            raise ValueError(f"tuning.space: {foreign[0]!r} is none of {known}")
        if EVERY_ARM in self.arms:
            raise ValueError(f"tuning.space: an arm named {EVERY_ARM!r} cannot be searched")
        for arm in self.arms:
            if not tuning.space_of(arm):
                raise ValueError(
                    f"tuning.space: nothing is searched for arm {arm}; effort must be equal"
                )
            if tuning.num_settings(arm) < tuning.trials:
                raise ValueError(
                    f"tuning.space: arm {arm} has only {tuning.num_settings(arm):g} different "
                    f"settings for {tuning.trials} trials"
                )
