"""The criterion of a training run, built from the experiment; matches loss scales if requested.

Scale matching gives losses of different magnitude equal gradients on the logits. A focal loss is
several times smaller than cross-entropy, so at the same gain it changes the weight of objectness
and classes against boxes. `scale: matched` removes that difference and keeps the shape of the loss
(docs/losses.md#why-fl_gamma-disappointed-you): a multiplier per branch makes the summed absolute
gradient on the logits that of mean cross-entropy, over fixed batches without augmentation, after a
warm-up with cross-entropy.
"""

import logging
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice

import torch

from commands.build.plugins import import_plugins
from configs.reading.load import LoadedExperiment
from configs.schema.branch_loss import BceLossSettings
from configs.schema.experiment import Experiment
from configs.schema.loss import LossSettings
from data.anchors import label_statistics
from data.images.cache import ImageCache
from data.loading.loader import TrainBatches, build_train_batches
from data.records.load import Split
from models.detector import Detector
from models.losses import DetectionCriterion, build_criterion
from models.losses.criterion.gradient_size import gradient_sizes
from utils.engine.learner import Learner
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_json
from utils.runtime.files.json_file import read_json_object
from utils.runtime.files.run_folder import RunFolder
from utils.structures.batch import Batch
from utils.structures.exact import move

logger = logging.getLogger(__name__)

MEASURED_BATCHES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleMatch:
    """Ratio of the gradient of mean cross-entropy to that of a branch."""

    at_start: float
    """Gradient of cross-entropy over that of the loss, initial weights."""
    after_warmup: float
    """The same after the warm-up with cross-entropy; this is the multiplier."""
    batches: int
    warmup_iterations: int


def match_scales(
    loaded: LoadedExperiment,
    detector: Detector,
    split: Split,
    *,
    device: torch.device,
    cache: ImageCache | None = None,
) -> dict[str, ScaleMatch]:
    """Return the match of each branch whose `scale` is matched; trains a copy of `detector`.

    Raises:
        UserError: a loss has no gradient to be matched.
    """
    experiment = loaded.experiment
    wanted = matched_branches(experiment.loss)
    if not wanted:
        return {}
    logger.info("matching the scale of %s to cross-entropy", " and ".join(wanted))
    baseline = unscaled_criterion(_with_cross_entropy(experiment.loss), experiment, detector, split)
    candidate = unscaled_criterion(experiment.loss, experiment, detector, split)
    stride = detector.size_multiple
    build = partial(build_train_batches, split.records, stride=stride, device=device, cache=cache)
    fixed = _first_batches(build(_unaugmented(experiment)))
    batches = build(experiment)
    learner = Learner(
        deepcopy(detector),
        move(baseline, device),
        experiment.train,
        batches_per_epoch=len(batches),
        device=device,
    )
    criteria = (baseline, move(candidate, device))
    at_start = _ratios(learner, criteria, fixed)
    iterations = _warm_up(learner, batches, epochs=experiment.train.epochs)
    after = _ratios(learner, criteria, fixed)
    return {
        name: _checked(
            name,
            ScaleMatch(
                at_start=at_start[name],
                after_warmup=after[name],
                batches=len(fixed),
                warmup_iterations=iterations,
            ),
        )
        for name in wanted
    }


def apply_scales(criterion: DetectionCriterion, matches: dict[str, ScaleMatch]) -> None:
    """Set the multipliers of a criterion and log them."""
    for name, match in matches.items():
        getattr(criterion, name).multiplier = match.after_warmup
        logger.info(
            "loss.%s.scale matched: multiplied by %.4g (%.4g at the initial weights)",
            name,
            match.after_warmup,
            match.at_start,
        )


def matched_branches(settings: LossSettings) -> list[str]:
    """Return the branches whose scale is to be matched."""
    return [n for n, loss in settings.branches.items() if getattr(loss, "scale", None) == "matched"]


def scales_to_json(matches: dict[str, ScaleMatch]) -> dict[str, dict[str, float]]:
    """Return what `scales_from_json` reads."""
    return {name: asdict(match) for name, match in matches.items()}


def scales_from_json(content: dict[str, dict[str, float]]) -> dict[str, ScaleMatch]:
    """Return the stored matches of a run."""
    return {name: ScaleMatch(**values) for name, values in content.items()}  # type: ignore[arg-type]


def _with_cross_entropy(settings: LossSettings) -> LossSettings:
    """Return the settings with plain mean cross-entropy of the same gain and target, divided by the
    sum of the targets where these are.
    """
    update = {
        name: BceLossSettings(
            gain=loss.gain,
            target=loss.target,
            normalizer="targets" if loss.normalizer == "targets" else "mean",
        )
        for name, loss in settings.branches.items()
    }
    return settings.model_copy(update=update)


def unscaled_criterion(
    settings: LossSettings, experiment: Experiment, detector: Detector, split: Split
) -> DetectionCriterion:
    """Return the loss of `settings` for a network and its training images, scales not matched.

    Raises:
        ConfigError, UserError: the loss does not fit, or an object of the user cannot be used.
    """
    import_plugins(experiment)
    return build_criterion(
        settings,
        num_classes=detector.num_classes,
        num_levels=len(detector.strides),
        image_size=experiment.train.image_size,
        class_counts=label_statistics(split.records, len(split.class_names)).class_counts,
        first_l1_epoch=experiment.train.epochs - _l1_epochs(experiment),
    )


def _l1_epochs(experiment: Experiment) -> int:
    """Return how many of the last epochs have the term `loss.l1`."""
    stated = None if experiment.loss.l1 is None else experiment.loss.l1.last_epochs
    return experiment.augment.close_mosaic if stated is None else stated


def _unaugmented(experiment: Experiment) -> Experiment:
    off = experiment.augment.switched_off()
    train = experiment.train.model_copy(update={"multi_scale": 0.0})
    return experiment.model_copy(update={"augment": off, "train": train})


def _first_batches(batches: TrainBatches) -> list[Batch]:
    try:
        return list(islice(batches.epoch(0), MEASURED_BATCHES))
    finally:
        batches.close()


def _warm_up(learner: Learner, batches: TrainBatches, *, epochs: int) -> int:
    """Train for the length of warm-up, at least 1 iteration; return the number."""
    wanted = min(max(1, learner.schedule.warmup_iterations), epochs * len(batches))
    done = 0
    learner.model.train()
    try:
        while done < wanted:
            for batch in islice(batches.epoch(done // len(batches)), wanted - done):
                learner.learn(batch, done)
                done += 1
    finally:
        batches.close()
    return done


def _ratios(
    learner: Learner, criteria: Sequence[DetectionCriterion], batches: Sequence[Batch]
) -> dict[str, float]:
    """Return by branch the gradient of the first criterion over that of the second."""
    totals = [dict.fromkeys(criterion.branches, 0.0) for criterion in criteria]
    learner.model.eval()
    for batch in batches:
        there = batch.to(learner.device)
        with torch.no_grad():
            predictions = learner.model(there.pixels())
        for total, criterion in zip(totals, criteria, strict=True):
            for name, size in gradient_sizes(criterion, predictions, there.targets).items():
                total[name] += size
    reference, own = totals
    return {name: reference[name] / own[name] if own[name] else 0.0 for name in own}


def _checked(name: str, match: ScaleMatch) -> ScaleMatch:
    if not 0 < match.after_warmup < float("inf"):
        raise UserError(
            f"loss.{name}.scale: matched has nothing to match, the loss or cross-entropy has no "
            "gradient on the training images; use scale: as_is"
        )
    return match


def build_training_criterion(
    loaded: LoadedExperiment,
    detector: Detector,
    split: Split,
    folder: RunFolder,
    *,
    device: torch.device,
    cache: ImageCache | None = None,
    ranks: Ranks = ALONE,
) -> DetectionCriterion:
    """Return the loss of an experiment on `device`.

    Multipliers of `scale: matched` are measured once and kept in the run folder, so that a resumed
    training continues with the same ones. All of `ranks` measure and take the first one's.

    Raises:
        ConfigError, UserError: the loss does not fit the network or the data.
    """
    experiment = loaded.experiment
    criterion = unscaled_criterion(experiment.loss, experiment, detector, split)
    if matched_branches(experiment.loss):
        stored = _stored(folder) if ranks.is_main else None
        stored = ranks.from_main(stored)
        if stored is None:
            matches = match_scales(loaded, detector, split, device=device, cache=cache)
            stored = ranks.from_main(scales_to_json(matches))
            write_json(folder.loss_scale, stored)
        matches = scales_from_json(stored)
        apply_scales(criterion, matches)
    move(criterion, device)
    return criterion


def _stored(folder: RunFolder) -> dict[str, dict[str, float]] | None:
    if not folder.loss_scale.exists():
        return None
    content: dict[str, dict[str, float]] = read_json_object(folder.loss_scale)
    return content
