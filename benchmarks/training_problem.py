"""A network of the published size, its loss and a batch of noise: a training step without files."""

from dataclasses import dataclass
from pathlib import Path

import torch

from commands.build.training_start import trained_graph
from configs.reading.load import LoadedExperiment, load_experiment
from models.detector import build_detector
from models.losses import build_criterion
from utils.engine.learner import Learner
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageMeta

NUM_CLASSES, TARGETS_PER_IMAGE = 80, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProblem:
    """What is trained: a graph of configs/models with 80 classes, on images of one size."""

    graph: str
    image_size: int
    batch_size: int
    device: torch.device

    def learner(self, *overrides: str, ranks: Ranks = ALONE) -> Learner:
        """Return a new learner that takes an optimizer step at every batch."""
        loaded = load_experiment(
            "configs/coco128.yaml",
            (
                f"data.path={Path(__file__).parent}",  # any folder: nothing is read from it
                f"model.graph=models/{self.graph}.yaml",
                f"train.image_size={self.image_size}",
                f"train.batch_size={self.batch_size}",
                f"train.nominal_batch={self.batch_size * ranks.size}",
                *overrides,
            ),
        )
        return build_learner(loaded, self.device, ranks)

    def batch(self, seed: int = 0) -> Batch:
        """Return uint8 noise with boxes, on the CPU."""
        return noise_batch(
            image_size=self.image_size,
            batch_size=self.batch_size,
            num_classes=NUM_CLASSES,
            targets_per_image=TARGETS_PER_IMAGE,
            seed=seed,
        )


def noise_batch(
    *,
    image_size: int,
    batch_size: int,
    num_classes: int,
    targets_per_image: int,
    seed: int = 0,
) -> Batch:
    """Return uint8 noise with boxes of a tenth to a half of the side, on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch_size, image_size, image_size, 3)
    images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    count = batch_size * targets_per_image
    sides = (torch.rand(count, 2, generator=generator) * 0.4 + 0.1) * image_size
    corners = torch.rand(count, 2, generator=generator) * (image_size - sides)
    size = (image_size, image_size)
    meta = ImageMeta(path="", image_id=0, original_size=size, scale=(1.0, 1.0), pad=(0, 0))
    return Batch(
        images=images.permute(0, 3, 1, 2),
        targets=Targets(
            boxes=torch.cat((corners, corners + sides), dim=1),
            labels=torch.randint(0, num_classes, (count,), generator=generator),
            image_index=torch.arange(batch_size).repeat_interleave(targets_per_image),
        ),
        metas=(meta,) * batch_size,
    )


def build_learner(loaded: LoadedExperiment, device: torch.device, ranks: Ranks = ALONE) -> Learner:
    """Return a learner of an experiment with new weights, ready to train."""
    experiment = loaded.experiment
    torch.manual_seed(0)
    num_classes = len(experiment.data.class_names)
    detector = build_detector(trained_graph(loaded), num_classes=num_classes)
    criterion = build_criterion(
        experiment.loss,
        num_classes=num_classes,
        num_levels=len(detector.strides),
        image_size=experiment.train.image_size,
        class_counts=[1] * num_classes,
    )
    learner = Learner(
        detector,
        criterion.to(device),
        experiment.train,
        batches_per_epoch=1000,
        device=device,
        ranks=ranks,
    )
    learner.model.train()
    return learner
