"""Training steps on images of noise: the time and memory of a training, before it begins."""

import math
from time import perf_counter

import torch

from commands.build.criterion import unscaled_criterion
from commands.build.plugins import import_network_parts
from commands.build.training_start import trained_graph
from configs.reading.load import LoadedExperiment
from data.records.load import Split
from models.detector import build_detector
from utils.engine.learner import Learner
from utils.structures.batch import Batch, Targets
from utils.structures.exact import move
from utils.structures.images import ImageMeta

MOSAIC_IMAGES = 4
MEASURED_STEPS = 2
"""The first one prepares libraries and asks for memory."""


class NoiseSteps:
    """Trains a network of its own, so that the run's weights and random numbers stay as they are.

    Args:
        loaded: the experiment, all numbers derived except for the batch size.
        split: as many objects are drawn as its images have.
        device: where to compute.
        side: of the images in pixels.
    """

    def __init__(
        self, loaded: LoadedExperiment, split: Split, device: torch.device, side: int
    ) -> None:
        self._loaded, self._split, self._device, self._side = loaded, split, device, side
        objects = sum(len(record.boxes) for record in split.records)
        # As a mosaic of four images shows them.
        self._objects = math.ceil(MOSAIC_IMAGES * objects / max(len(split.records), 1))

    def seconds(self, images: int) -> float:
        """Return the seconds of the last of `MEASURED_STEPS` steps with so many images.

        Raises:
            torch.OutOfMemoryError: they did not fit.
        """
        devices = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            learner, batch = self._learner(images), self._noise(images)
            took = 0.0
            for iteration in range(MEASURED_STEPS):
                began = perf_counter()
                learner.learn(batch, iteration)
                if self._device.type == "cuda":
                    torch.cuda.synchronize(self._device)
                took = perf_counter() - began
        return took

    def _learner(self, images: int) -> Learner:
        experiment = self._loaded.experiment
        import_network_parts(self._loaded)
        detector = build_detector(
            trained_graph(self._loaded),
            num_classes=len(self._split.class_names),
            source=self._loaded.graph_path.name,
        )
        criterion = unscaled_criterion(experiment.loss, experiment, detector, self._split)
        settings = experiment.train.model_copy(
            update={"batch_size": images, "nominal_batch": images, "non_finite": "skip"}
        )
        learner = Learner(
            detector,
            move(criterion, self._device),
            settings,
            batches_per_epoch=MEASURED_STEPS,
            device=self._device,
        )
        learner.model.train()
        return learner

    def _noise(self, images: int) -> Batch:
        draw = torch.Generator().manual_seed(images)
        side, count = self._side, self._objects * images
        corners = torch.rand(count, 2, 2, generator=draw).sort(dim=1).values.flatten(1) * side
        corners[:, 2:] += 1
        classes = len(self._split.class_names)
        return Batch(
            images=torch.randint(
                0, 256, (images, 3, side, side), generator=draw, dtype=torch.uint8
            ).contiguous(memory_format=torch.channels_last),
            targets=Targets(
                boxes=corners,
                labels=torch.randint(0, classes, (count,), generator=draw),
                image_index=torch.arange(count) % images,
            ),
            metas=tuple(_meta(number, side) for number in range(images)),
        )


def _meta(number: int, side: int) -> ImageMeta:
    return ImageMeta(
        path="noise", image_id=number, original_size=(side, side), scale=(1.0, 1.0), pad=(0, 0)
    )
