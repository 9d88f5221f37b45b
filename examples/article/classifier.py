"""S3's small classifier and the digits it learns: drawn here, or MNIST where there is a folder."""

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
BATCH = 64


def small_classifier() -> nn.Module:
    """Return 784-500-10 with ReLU."""
    return nn.Sequential(nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 10))


def drawn_digits(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Return images (n, 784) in [-1, 1] and labels (n,): digits in four fonts, turned and moved."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=count)
    images = np.stack([_draw(int(label), rng) for label in labels])
    return _normalised(images), torch.from_numpy(labels)


def _draw(label: int, rng: np.random.Generator) -> np.ndarray:
    image = np.zeros((28, 28), np.uint8)
    font, thickness = FONTS[rng.integers(len(FONTS))], int(rng.integers(1, 3))
    (width, height), _ = cv2.getTextSize(str(label), font, 0.8, thickness)
    corner = ((28 - width) // 2, (28 + height) // 2)
    cv2.putText(image, str(label), corner, font, 0.8, 255, thickness, cv2.LINE_AA)
    turned = cv2.getRotationMatrix2D((14, 14), rng.uniform(-20, 20), rng.uniform(0.75, 1.1))
    matrix = np.asarray(turned, dtype=np.float64)
    matrix[0, 1] += rng.uniform(-0.2, 0.2)
    matrix[:, 2] += rng.uniform(-3, 3, size=2)
    noise = rng.normal(0, 12, size=image.shape)
    warped = cv2.warpAffine(image, matrix, (28, 28)).astype(np.float64)
    return np.clip(warped + noise, 0, 255).astype(np.uint8)


def mnist(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    """Return images (n, 784) in [-1, 1] and labels (n,) of `part`, train or t10k.

    Raises:
        FileNotFoundError: the folder has no such idx files, packed by gzip or not.
        ValueError: a file is not of the idx format.
    """
    images = _idx(folder, f"{part}-images-idx3-ubyte", dimensions=3)
    labels = _idx(folder, f"{part}-labels-idx1-ubyte", dimensions=1)
    return _normalised(images), torch.from_numpy(labels.astype(np.int64))


def _idx(folder: Path, name: str, *, dimensions: int) -> np.ndarray:
    packed, plain = folder / f"{name}.gz", folder / name
    if plain.is_file():
        content = plain.read_bytes()
    elif packed.is_file():
        content = gzip.decompress(packed.read_bytes())
    else:
        raise FileNotFoundError(f"{folder} has neither {name} nor {name}.gz")
    start = 4 + 4 * dimensions
    if len(content) < start or content[:4] != bytes((0, 0, 8, dimensions)):
        raise ValueError(f"{name} in {folder} is not an idx file of {dimensions} dimensions")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    if len(content) - start != int(np.prod(shape)):
        raise ValueError(f"{name} in {folder} is cut short")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _normalised(images: np.ndarray) -> Tensor:
    flat = torch.from_numpy(images.reshape(len(images), -1).copy())
    return (flat.float() / 255 - 0.5) / 0.5


def train(
    model: nn.Module, images: Tensor, labels: Tensor, *, epochs: int
) -> Iterator[tuple[int, float]]:
    """Train as S3 does, with CE and SGD of momentum; yield epoch and mean loss after each."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    generator = torch.Generator().manual_seed(0)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for chosen in torch.randperm(len(images), generator=generator).split(BATCH):
            optimizer.zero_grad()
            loss = criterion(model(images[chosen]), labels[chosen])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
        yield epoch, total / len(images)


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Return the share of images whose highest score is that of their label."""
    right = int((model(images).argmax(1) == labels).sum())
    return right / max(len(labels), 1)
