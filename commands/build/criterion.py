"""The criterion of a training run, built from the experiment; matches loss scales if requested."""

import torch

from commands.build.loss_scale import (
    apply_scales,
    match_scales,
    matched_branches,
    scales_from_json,
    scales_to_json,
    unscaled_criterion,
)
from configs.reading.load import LoadedExperiment
from data.images.cache import ImageCache
from data.records.load import Split
from models.detector import Detector
from models.losses import DetectionCriterion
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.files.atomic import write_json
from utils.runtime.files.json_file import read_json_object
from utils.runtime.files.run_folder import RunFolder
from utils.structures.exact import move


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
