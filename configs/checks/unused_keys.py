"""Keys without effect in the given combination: set by the user, they are errors.

Keys that another choice of `name` or `format` would need are refused by the schema already. Here
are the other combinations. Inherited values may be without effect: a user who switches mosaic off
need not know the base's mixup.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from configs.origins import KeyPath, Layer, leaves
from configs.schema import Experiment
from configs.schema.allowed import shown
from configs.schema.branch_loss import FocalLossSettings
from configs.schema.data import AutoDataset
from configs.schema.derived_words import stated_words
from configs.schema.keys import dotted
from configs.schema.model import IouAssignerSettings


@dataclass(frozen=True)
class Rule:
    """When `applies`, the `keys` (a group: all below it) change nothing."""

    keys: tuple[str, ...]
    applies: Callable[[Experiment], bool]
    because: str
    causes: tuple[str, ...] = ()
    """The keys that cause this; none where it is always so."""
    harmless: object = None
    """A value that only switches the key off."""
    is_idle: bool = False
    """Caused by data or length of the run, not by another setting: a note, not an error."""
    unless_derived: tuple[str, ...] = ()
    """Keys; where the run derives the number of one of them, the rule does not apply."""


def _has_objectness(experiment: Experiment) -> bool:
    return experiment.loss.objectness is not None


def _no_objectness(experiment: Experiment) -> bool:
    return experiment.loss.objectness is None


def _no_class_term(experiment: Experiment) -> bool:
    is_quality = experiment.loss.target_of("classification") == "aligned"
    return _one_class(experiment) and _has_objectness(experiment) and not is_quality


def _no_double_claims(experiment: Experiment) -> bool:
    assigner = experiment.loss.assigner
    return isinstance(assigner, IouAssignerSettings) or assigner.forbids_anchors


def _one_class(experiment: Experiment) -> bool:
    return len(experiment.data.class_names) == 1


def _no_mosaic(experiment: Experiment) -> bool:
    return experiment.augment.mosaic == 0


def _mosaic_closed(experiment: Experiment) -> bool:
    return experiment.augment.close_mosaic >= experiment.train.epochs


def _no_warmup(experiment: Experiment) -> bool:
    return experiment.train.warmup.epochs == 0


def _validated_once(experiment: Experiment) -> bool:
    return experiment.eval.interval >= experiment.train.epochs


def _never_validated(experiment: Experiment) -> bool:
    is_known = not isinstance(experiment.data, AutoDataset)
    return is_known and getattr(experiment.data, "val", "generated") is None


def _no_epoch_for_l1(experiment: Experiment) -> bool:
    l1, mosaic_free = experiment.loss.l1, experiment.augment.close_mosaic
    return l1 is not None and (mosaic_free if l1.last_epochs is None else l1.last_epochs) == 0


def _no_focusing(experiment: Experiment, branch: str) -> bool:
    loss = getattr(experiment.loss, branch)
    return isinstance(loss, FocalLossSettings) and loss.gamma == 0


RULES = (
    Rule(
        keys=("loss.objectness.label_smoothing",),
        applies=_has_objectness,
        because="labels are smoothed in loss.classification only",
        harmless=0,
    ),
    Rule(
        keys=("loss.objectness.class_weights", "loss.objectness.class_balance"),
        applies=_has_objectness,
        because="classes are weighed in loss.classification only",
    ),
    Rule(
        keys=("loss.classification",),
        applies=_no_class_term,
        because="with one class there is no class term",
        causes=("data.class_names",),
        is_idle=True,
    ),
    Rule(
        keys=("loss.level_balance",),
        applies=_no_objectness,
        because="it weighs the levels of loss.objectness, which is null",
        causes=("loss.objectness",),
    ),
    Rule(
        keys=("loss.claimed_twice",),
        applies=_no_double_claims,
        because="with this assigner a cell is assigned to one target",
        causes=("loss.assigner.name",),
    ),
    Rule(
        keys=("loss.l1",),
        applies=_no_epoch_for_l1,
        because="its epochs are loss.l1.last_epochs, else augment.close_mosaic, and that is 0",
        causes=("augment.close_mosaic",),
        unless_derived=("augment.close_mosaic",),
    ),
    Rule(
        keys=("eval.class_agnostic",),
        applies=_one_class,
        because="there is one class",
        causes=("data.class_names",),
        is_idle=True,
        harmless=False,
    ),
    Rule(
        keys=("eval.multi_label",),
        applies=_one_class,
        because="there is one class",
        causes=("data.class_names",),
        is_idle=True,
        harmless=True,
    ),
    Rule(
        keys=("augment.mosaic_nine", "augment.close_mosaic", "augment.mixup"),
        applies=_no_mosaic,
        because="augment.mosaic is 0",
        causes=("augment.mosaic",),
        harmless=0,
    ),
    Rule(
        keys=("augment.mosaic", "augment.mosaic_nine", "augment.mixup"),
        applies=_mosaic_closed,
        because="augment.close_mosaic covers all epochs",
        causes=("augment.close_mosaic", "train.epochs"),
        is_idle=True,
        harmless=0,
    ),
    Rule(
        keys=(
            "train.warmup.min_iterations",
            "train.warmup.max_share",
            "train.warmup.momentum",
            "train.warmup.bias_lr",
        ),
        applies=_no_warmup,
        because="train.warmup.epochs is 0",
        causes=("train.warmup.epochs",),
    ),
    Rule(
        keys=("train.head_warmup",),
        applies=lambda experiment: experiment.model.weights is None,
        because="without model.weights the whole network is new",
        causes=("model.weights",),
        harmless=0,
    ),
    Rule(
        keys=("train.ema.ramp_steps",),
        applies=lambda experiment: experiment.train.ema.decay == 0,
        because="train.ema.decay is 0",
        causes=("train.ema.decay",),
    ),
    Rule(
        keys=("train.ema.horizon",),
        applies=lambda experiment: True,
        because="train.ema.decay and train.ema.ramp_steps are numbers, not auto",
        causes=("train.ema.decay",),
        unless_derived=("train.ema.decay", "train.ema.ramp_steps"),
    ),
    Rule(
        keys=("train.cache_limit",),
        applies=lambda experiment: experiment.train.cache == "off",
        because="train.cache is off",
        causes=("train.cache",),
    ),
    Rule(
        keys=("train.patience",),
        applies=_validated_once,
        because="eval.interval leaves only the validation after the last epoch",
        causes=("eval.interval", "train.epochs"),
        is_idle=True,
        harmless=0,
    ),
    Rule(
        keys=("train.patience", "eval.interval", "eval.before_training", "eval.loss"),
        applies=_never_validated,
        because="the data set has no val split",
        causes=("data.val",),
        is_idle=True,
        harmless=0,
    ),
    *(
        Rule(
            keys=(f"loss.{branch}.form",),
            applies=partial(_no_focusing, branch=branch),
            because=f"loss.{branch}.gamma is 0, which is plain cross-entropy",
            causes=(f"loss.{branch}.gamma",),
            harmless="quality",
        )
        for branch in ("objectness", "classification")
    ),
)


def keys_without_effect(experiment: Experiment, settings: Layer) -> tuple[list[str], list[str]]:
    """Return one sentence for each key that a user set without effect, and one for each idle key.

    A key is an error if its cause is set in the same layer or below. One that only the data or the
    length of the run makes idle is not a mistake: users of small data or short runs need not know
    the recipe.
    """
    words = stated_words(settings).keys()
    in_vain: list[str] = []
    idle: list[str] = []
    for rule in RULES:
        if rule.applies(experiment) and not words & set(rule.unless_derived):
            for path in _stated(rule, settings):
                (idle if rule.is_idle else in_vain).append(_sentence(path, rule, settings))
    return in_vain, idle


def _stated(rule: Rule, settings: Layer) -> Iterator[KeyPath]:
    cause_rank = max((settings.source(_path(key)).rank for key in rule.causes), default=-1)
    for key in rule.keys:
        path = _path(key)
        for inner in leaves(_value(settings, path), path):
            source = settings.source(inner)
            value = _value(settings, inner)
            is_harmless = rule.harmless is not None and value == rule.harmless
            if source.by_user and source.rank >= cause_rank and not is_harmless:
                yield inner


def _sentence(path: KeyPath, rule: Rule, settings: Layer) -> str:
    cause = max(rule.causes, key=lambda key: settings.source(_path(key)).rank, default="")
    origin = f" ({settings.source(_path(cause)).where})" if cause else ""
    remedy = f"; leave it out or change {cause}" if cause else "; leave it out"
    return (
        f"{dotted(path)}: {shown(_value(settings, path))} has no effect "
        f"({settings.source(path).where}): {rule.because}{origin}{'' if rule.is_idle else remedy}"
    )


def _path(key: str) -> KeyPath:
    return tuple(key.split("."))


def _value(settings: Layer, path: KeyPath) -> object:
    value: object = settings.values
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
