"""Derive the numbers of a recipe from its words, once the data are known.

What the literature gives as a number of optimizer steps (length of a run, horizon of the weight
average, learning rate of a step) fits runs of one size only: the published EMA of YOLOv5 (decay
0.9999 over a ramp of 2000 steps) averages a single step of a run on 200 images. So a recipe may use
words, and the numbers follow from images, batch, processes and epochs. docs/recipe.md has the
measurements.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment
from configs.schema import Experiment
from configs.schema.derived_words import Derived, put, share_of

LONGEST_HORIZON = 10_000.0
"""Horizon in steps of an average with the published decay of 0.9999."""
RAMP_PER_HORIZON = 1.25
BATCH_KEY = "train.batch_size"
FEWEST_REMEMBERED = 5
"""Steps; an average over fewer has no useful effect."""
FEWEST_STEPS = {False: 2000, True: 600}
"""Optimizer steps that `epochs: auto` aims at, without and with model.weights."""
EPOCHS_RANGE = {False: (30, 300), True: (15, 100)}


@dataclass(kw_only=True)
class _Derivation:
    """The numbers of one run, derived in the order of `_RULES`."""

    values: dict[str, Any]
    horizon: float | str
    num_images: int
    processes: int
    found: list[Derived] = field(default_factory=list)

    def at(self, key: str) -> Any:
        value: Any = self.values
        for name in key.split("."):
            value = value[name]
        return value

    @property
    def images_per_batch(self) -> int:
        """Of all processes."""
        return int(self.at("train.batch_size")) * self.processes

    @property
    def batches_per_epoch(self) -> int:
        return math.ceil(self.num_images / self.images_per_batch)

    @property
    def batches_per_step(self) -> int:
        return max(round(int(self.at("train.nominal_batch")) / self.images_per_batch), 1)

    @property
    def steps_per_epoch(self) -> float:
        return self.batches_per_epoch / self.batches_per_step

    @property
    def steps(self) -> float:
        return self.steps_per_epoch * float(self.at("train.epochs"))

    @property
    def has_weights(self) -> bool:
        return self.at("model.weights") is not None

    @property
    def start(self) -> str:
        return "from model.weights" if self.has_weights else "from scratch"


def with_batch_size(loaded: LoadedExperiment, batch_size: int, reason: str) -> LoadedExperiment:
    """Put the measured number in the place of `train.batch_size: auto`.

    Unlike the other words it is gone then: the run keeps the number, so that it resumes with the
    same batches whatever memory is free.
    """
    train = loaded.experiment.train.model_copy(update={"batch_size": batch_size})
    return replace(
        loaded,
        experiment=loaded.experiment.model_copy(update={"train": train}),
        words={key: word for key, word in loaded.words.items() if key != BATCH_KEY},
        origins={**loaded.origins, BATCH_KEY: f"auto: {reason}"},
    )


def derive(loaded: LoadedExperiment, *, num_images: int, processes: int = 1) -> LoadedExperiment:
    """Replace an experiment's words by numbers.

    Args:
        loaded: an experiment; the words may have been derived before, for another run.
        num_images: of the training split, 1 or more.
        processes: that train together.

    Returns:
        The experiment with its numbers, their reasons as origins, and `derived` filled.

    Raises:
        ConfigError: two words need each other, or a derived number is out of range.
    """
    if BATCH_KEY in loaded.words:
        raise ConfigError(f"{BATCH_KEY}: auto is measured by train.py alone; set a number here")
    if not loaded.words:
        return replace(loaded, is_derived=True)
    derivation = _Derivation(
        values=loaded.experiment.model_dump(mode="json"),
        horizon=loaded.experiment.train.ema.horizon,
        num_images=num_images,
        processes=processes,
    )
    for key, rule in _RULES.items():
        if key in loaded.words:
            value, reason = rule(derivation, loaded.words[key])
            put(derivation.values, key, value)
            derivation.found.append(Derived(key=key, value=value, reason=reason))
    origins = {item.key: f"{loaded.words[item.key]}: {item.reason}" for item in derivation.found}
    return replace(
        loaded,
        experiment=Experiment.model_validate(derivation.values, strict=False),
        origins={**loaded.origins, **origins},
        derived=tuple(derivation.found),
        is_derived=True,
    )


def _image_size(run: _Derivation, word: str) -> tuple[int, str]:
    # Runs look into their weights before that: commands/build/weights_size.py.
    return int(run.at("train.image_size")), "the usual one"


def _nominal_batch(run: _Derivation, word: str) -> tuple[int, str]:
    return run.images_per_batch, "one optimizer step a batch"


def _epochs(run: _Derivation, word: str) -> tuple[int, str]:
    aim, (low, high) = FEWEST_STEPS[run.has_weights], EPOCHS_RANGE[run.has_weights]
    epochs = min(max(math.ceil(aim / run.steps_per_epoch), low), high)
    steps = round(epochs * run.steps_per_epoch)
    return epochs, (
        f"{steps} optimizer steps; the aim {run.start} is {aim} within {low} to {high} epochs"
    )


def _lr(run: _Derivation, word: str) -> tuple[float, str]:
    images = run.batches_per_step * run.images_per_batch
    if run.at("train.optimizer.name") == "sgd":
        base = 0.003 if run.has_weights else 0.01
        return _rounded(base * images / 64), f"{base:g} {run.start} x {images} images a step / 64"
    base = 0.001 if run.has_weights else 0.002
    return (
        _rounded(base * math.sqrt(images / 16)),
        f"{base:g} {run.start} x square root of ({images} images a step / 16)",
    )


def _bias_lr(run: _Derivation, word: str) -> tuple[float, str]:
    return float(run.at("train.optimizer.lr")), "the peak learning rate"


def _close_mosaic(run: _Derivation, word: str) -> tuple[int, str]:
    epochs = int(run.at("train.epochs"))
    return round(share_of(word) * epochs), f"{word} of {counted(epochs, 'epoch')}"


def _horizon(run: _Derivation) -> float:
    """Return the horizon of the average in optimizer steps, 1 or more."""
    text = str(run.horizon)
    number = float(text.rstrip("%epochst "))
    if text.endswith("%"):
        steps = number / 100 * run.steps
    elif "step" in text:
        steps = number
    else:
        steps = number * run.steps_per_epoch
    return min(max(steps, min(10.0, run.steps / 4), 1.0), LONGEST_HORIZON)


def _ema_decay(run: _Derivation, word: str) -> tuple[float, str]:
    steps = _horizon(run)
    epochs = steps / run.steps_per_epoch
    return math.exp(-1 / steps), (
        f"the average remembers {steps:.0f} of {run.steps:.0f} steps ({epochs:.3g} epochs)"
    )


def _ema_ramp(run: _Derivation, word: str) -> tuple[float, str]:
    return RAMP_PER_HORIZON * _horizon(run), f"{RAMP_PER_HORIZON:g} times what it remembers"


def counted(number: int, noun: str, several: str = "") -> str:
    """Return a number of things in words."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


_RULES: Mapping[str, Callable[[_Derivation, str], tuple[float, str]]] = {
    "train.image_size": _image_size,
    "train.nominal_batch": _nominal_batch,
    "train.epochs": _epochs,
    "train.optimizer.lr": _lr,
    "train.warmup.bias_lr": _bias_lr,
    "augment.close_mosaic": _close_mosaic,
    "train.ema.decay": _ema_decay,
    "train.ema.ramp_steps": _ema_ramp,
}
"""The rule for each word; a rule may use the results of those before it."""


def length_of_run(
    experiment: Experiment, *, num_images: int, processes: int = 1, is_fitted: bool = False
) -> Iterator[str]:
    """Yield sentences on the length of the run and whether its average fits.

    Args:
        experiment: with all numbers derived.
        num_images: of the training split.
        processes: that train together.
        is_fitted: the average was derived from the run, so that no other fits it better.
    """
    run = _Derivation(
        values=experiment.model_dump(mode="json"),
        horizon=experiment.train.ema.horizon,
        num_images=num_images,
        processes=processes,
    )
    yield (
        f"run: {counted(experiment.train.epochs, 'epoch')} of "
        f"{counted(run.batches_per_epoch, 'batch', 'batches')}, "
        f"{counted(round(run.steps), 'optimizer step')}"
    )
    if run.steps < 1:
        yield (
            f"note: not one step of train.nominal_batch={experiment.train.nominal_batch} images; "
            f"train.nominal_batch={run.images_per_batch} makes a step of every batch"
        )
    ema = experiment.train.ema
    if ema.decay == 0:
        return
    last_decay = ema.decay * (1 - math.exp(-run.steps / ema.ramp_steps))
    memory = -1 / math.log(last_decay) if last_decay > 0 else 0.0
    epochs = memory / run.steps_per_epoch
    yield (
        f"EMA remembers about {memory:.3g} of {run.steps:,.0f} steps ({epochs:.2g} epochs) "
        "at the end"
    )
    if is_fitted:
        return
    remedy = "train.ema.decay=auto train.ema.ramp_steps=auto fits it to the run"
    if memory < FEWEST_REMEMBERED:
        yield f"note: an average of fewer than {FEWEST_REMEMBERED} steps has no effect; {remedy}"
    elif memory > run.steps / 2:
        yield f"note: an average over more than half of the run keeps old weights; {remedy}"
