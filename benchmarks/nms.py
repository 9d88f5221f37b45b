"""Score filter and suppression of a batch: ours against torchvision's as people call it.

    python benchmarks/nms.py [--weights yolov5n_v7.0.pt] [--images N] [--json FILE]

Two problems of 80 classes at 640 px, 25,200 cells an image: an untrained network, as logits of
noise, and with --weights a trained one on --source. The peer gets decoded boxes and filters them
with boolean masks, shifts classes apart and calls torchvision.ops.nms on up to 30,000 candidates; a
second time it decodes them first, which is what ours begins with.
Ours is checked, box by box, against exact suppression class by class. One thread, CPU time.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dataclasses import replace

import torch
from torch import Tensor
from torchvision.ops import nms

from benchmarks.measure import Figure, added_mib, alternate, compared, milliseconds, report
from models.heads.detect import CellDecoder
from models.inference.nms import Postprocess
from utils.runtime.machine.memory import reuse_freed_memory
from utils.structures.predictions import Predictions
from utils.structures.scored_cells import ScoredCells

SCORE, IOU, DETECTIONS, CANDIDATES = 0.001, 0.6, 300, 30000
CLASS_SHIFT = 7680.0
TIME_GOAL = 20.0
ANCHORS = ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326))
Found = tuple[Tensor, Tensor, Tensor]


def noise(images: int) -> Predictions:
    """Return what an untrained network might say: normal logits, most of them above the score."""
    generator = torch.Generator().manual_seed(0)
    levels = tuple(
        torch.randn(images, 3, cells, cells, 85, generator=generator) for cells in (80, 40, 20)
    )
    anchors = torch.tensor(ANCHORS, dtype=torch.float32).view(3, 3, 2)
    return Predictions(levels=levels, anchors=anchors, strides=(8, 16, 32), decoder=CellDecoder())


def trained(weights: Path, source: Path, images: int) -> Predictions:
    """Return what trained weights say of the first images of a folder, squeezed to 640 px."""
    import cv2

    from commands.build.detector import load_detector
    from data.images.io import read_image
    from models.detector import Detector

    files = sorted(source.rglob("*.jpg"))[:images]
    if len(files) < images:
        raise SystemExit(f"{source} holds {len(files)} JPEG files, not {images}")
    pixels = [cv2.resize(read_image(file), (640, 640)) for file in files]
    batch = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in pixels])
    detector = load_detector(weights).detector
    if not isinstance(detector, Detector):
        raise SystemExit(f"{weights} is an exported file; weights are needed")
    detector.eval()
    with torch.no_grad():
        parts = [detector(part.float() / 255) for part in batch.split(4)]
    levels = tuple(torch.cat([part.levels[level] for part in parts]) for level in range(3))
    joined: Predictions = replace(parts[0], levels=levels)
    return joined


def decoded_table(predictions: Predictions) -> Tensor:
    """Return boxes, objectness and class scores (B, P, 4 + 1 + C) of all cells."""
    decoded = predictions.decode()
    return torch.cat((decoded.boxes, decoded.objectness[..., None], decoded.class_scores), dim=2)


def plain(decoded: Tensor) -> list[Found]:
    """Filter and suppress decoded (B, P, 4 + 1 + C) as most projects do, image by image."""
    found = []
    for cells in decoded:
        cells = cells[cells[:, 4] > SCORE]
        scores = cells[:, 5:] * cells[:, 4:5]
        cell, label = (scores > SCORE).nonzero(as_tuple=True)
        boxes, score = cells[cell, :4], scores[cell, label]
        order = score.argsort(descending=True)[:CANDIDATES]
        boxes, score, label = boxes[order], score[order], label[order]
        kept = nms(boxes + label[:, None] * CLASS_SHIFT, score, IOU)[:DETECTIONS]
        found.append((boxes[kept], score[kept], label[kept]))
    return found


def exact(boxes: Tensor, scores: Tensor) -> Found:
    """Suppress the candidates of one image class by class in float64; boxes (P, 4), scores (P, C).

    Candidates are the best CANDIDATES; equal scores keep their order.
    """
    cell, label = (scores > SCORE).nonzero(as_tuple=True)
    score = scores[cell, label]
    order = score.argsort(descending=True, stable=True)[:CANDIDATES]
    cell, label, score = cell[order], label[order], score[order]
    ranks = -torch.arange(len(order), dtype=torch.float64)
    kept = []
    for each in label.unique():
        chosen = (label == each).nonzero().squeeze(1)
        kept.append(chosen[nms(boxes[cell[chosen]].double(), ranks[chosen], IOU)])
    best = torch.cat(kept).sort().values[:DETECTIONS] if kept else torch.zeros(0, dtype=torch.int64)
    return boxes[cell[best]], score[best], label[best]


def require_exact(process: Postprocess, predictions: Predictions) -> None:
    """Stop unless ours gives the boxes of exact suppression, bit by bit."""
    decoded = predictions.decode()
    scores = decoded.objectness[..., None] * decoded.class_scores
    ours = process(ScoredCells(boxes=decoded.boxes, scores=scores)).detections
    for image, found in enumerate(ours):
        expected = exact(decoded.boxes[image], scores[image])
        same = zip((found.boxes, found.scores, found.labels), expected, strict=True)
        if not all(torch.equal(a, b) for a, b in same):
            raise SystemExit(f"image {image}: not the boxes of exact suppression")


def figures(name: str, predictions: Predictions, repetitions: int) -> list[Figure]:
    """Return time and memory of one problem."""
    process = Postprocess(
        score_threshold=SCORE,
        iou_threshold=IOU,
        max_detections=DETECTIONS,
        max_candidates=CANDIDATES,
    )
    require_exact(process, predictions)
    images = len(predictions.levels[0])
    table = decoded_table(predictions)
    sides: dict[str, Callable[[], object]] = {
        "ours": lambda: process(predictions),
        "plain": lambda: plain(table),
        "decoding": lambda: plain(decoded_table(predictions)),
    }
    memory = {side: added_mib(run) for side, run in sides.items()}
    times = {side: partial(milliseconds, run, 1) for side, run in sides.items()}
    found = alternate({**times, "limit": lambda: read_ms(predictions)}, repetitions)
    return [
        compared(
            f"{name}, ms an image",
            found["ours"] / images,
            found["plain"] / images,
            goal=TIME_GOAL,
            limit=found["limit"] / images,
        ),
        compared(
            f"{name}, ms an image (peer: decoding included, as ours)",
            found["ours"] / images,
            found["decoding"] / images,
            goal=None,
            limit=None,
        ),
        compared(f"{name}, added MiB", memory["ours"], memory["plain"], goal=None, limit=None),
    ]


def read_ms(predictions: Predictions) -> float:
    """Return how long it takes to read the raw output once."""
    return milliseconds(lambda: [level.amax() for level in predictions.levels], 1)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=16, help="of a batch")
    parser.add_argument("--weights", type=Path, help="a trained network of 80 classes")
    parser.add_argument("--source", type=Path, help="folder of JPEG files for --weights")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    reuse_freed_memory()
    problems = {"untrained": noise(arguments.images)}
    if arguments.weights is not None:
        if arguments.source is None:
            parser.error("--weights needs --source")
        network = trained(arguments.weights, arguments.source, arguments.images)
        problems["trained"] = network
    report(
        [
            figure
            for name, predictions in problems.items()
            for figure in figures(name, predictions, arguments.repetitions)
        ],
        arguments.json,
    )


if __name__ == "__main__":
    main()
