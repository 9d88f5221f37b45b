"""A tiny detector in a weights file, and scenes in which it is sometimes right."""

from pathlib import Path

import torch

from commands.build.predictor import Predictor
from data.images.io import read_image
from models.detector import Detector
from models.weights.checkpoint import checkpoint_metadata
from tests.data.synthetic.scene_files import write_scenes
from tests.models.factories import tiny_detector
from utils.checkpoint.weights import save_weights

CLASS_NAMES = ("cat", "dog", "owl")
IMAGE_SIZE = 64


def uneven_detector() -> Detector:
    """Untrained, with weights large enough that scores differ from cell to cell."""
    detector = tiny_detector(seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return detector.eval()


def write_weights(path: Path, **extra: object) -> Path:
    detector = uneven_detector()
    metadata = checkpoint_metadata(detector, CLASS_NAMES, IMAGE_SIZE, extra)
    save_weights(path, detector.state_dict(), metadata)
    return path


def write_data_set(root: Path, weights: Path, count: int = 10) -> Path:
    """Write images with labels near some of the detector's own finds; return the data set YAML."""
    images, labels = root / "images", root / "labels"
    images.mkdir(parents=True)
    labels.mkdir()
    predictor = Predictor.from_file(weights, ["eval.score_threshold=0.001"])
    for number, record in enumerate(write_scenes(images, count)):
        found = predictor(predictor.framing.batch([read_image(record.path)]))[0]
        height, width = record.size
        rows = []
        for index in range(number % 3, min(len(found), 12), 3):
            x1, y1, x2, y2 = (found.boxes[index] + 0.7 * (index % 2)).tolist()
            numbers = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height,
                       (x2 - x1) / width, (y2 - y1) / height)  # fmt: skip
            rows.append(" ".join([str(int(found.labels[index])), *(f"{n:.6f}" for n in numbers)]))
        (labels / f"{number}.txt").write_text("\n".join(rows))
    path = root / "data.yaml"
    path.write_text(
        f"format: yolo\npath: {root}\ntrain: images\nval: images\n"
        f"class_names: [{', '.join(CLASS_NAMES)}]\nmax_rejected: 1.0\n"
    )
    return path
