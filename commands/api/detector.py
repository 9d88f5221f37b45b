"""Trained weights from Python: detect objects in pictures.

Images are resized, padded and post-processed exactly as in validation and by predict.py.
"""

import io
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from commands.build.predictor import Predictor
from configs.reading.locate import best_weights
from configs.reading.overrides import as_overrides
from data.images.io import read_image, to_rgb
from utils.metrics.rows import detection_rows
from utils.report.drawing import draw_boxes
from utils.runtime.errors import UserError
from utils.runtime.machine.threads import compute_alone_after_fork
from utils.structures.images import ImageArray
from utils.structures.results import Detections as _NetworkDetections

Picture: TypeAlias = str | Path | npt.NDArray[Any] | Tensor | Image.Image
"""A file, or pixels: numpy (H, W, 3) RGB or (H, W) grey, uint8; torch (3, H, W), uint8 or floating
point in [0, 1]; Pillow."""


@dataclass(frozen=True, slots=True)
class Detection:
    """One object: class, score (0 to 1), and box x1, y1, x2, y2 in pixels."""

    class_name: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detections:
    """The objects in one picture, best first; iterating gives one `Detection` each."""

    boxes: npt.NDArray[np.float32]
    """(K, 4): x1, y1, x2, y2 in pixels of the picture as given, inside it."""
    scores: npt.NDArray[np.float32]
    """(K,), 0 to 1."""
    labels: npt.NDArray[np.int64]
    """(K,): indices into `class_names`."""
    class_names: tuple[str, ...]
    """Names of all classes."""
    category_ids: tuple[int, ...]
    """Category id of each class in COCO files of the training data; the index where there are
    none."""
    image_size: tuple[int, int]
    """(height, width) of the picture in pixels."""
    pixels: ImageArray = field(repr=False)
    """(H, W, 3) uint8 RGB: the picture itself."""

    def __repr__(self) -> str:
        counts = Counter(self.class_names[label] for label in self.labels.tolist())
        found = ", ".join(f"{number} {name}" for name, number in counts.most_common())
        height, width = self.image_size
        return f"<Detections: {found or 'nothing'} in {width} x {height} pixels>"

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Detection]:
        for box, score, label in zip(
            self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), strict=True
        ):
            x1, y1, x2, y2 = box
            yield Detection(self.class_names[label], score, (x1, y1, x2, y2))

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Return entries of a COCO result file, rounded as val.py and predict.py round."""
        rows = detection_rows(0, self._as_tensors())
        return [
            {
                "image_id": image_id,
                "category_id": self.category_ids[label],
                "bbox": box,
                "score": score,
            }
            for label, box, score in zip(
                rows.labels.tolist(), rows.boxes.tolist(), rows.scores.tolist(), strict=True
            )
        ]

    def plot(self) -> Image.Image:
        """Return the picture with boxes, class names and scores drawn into it, as Pillow image."""
        drawn = draw_boxes(self.pixels, self.boxes, self.labels, self.class_names, self.scores)
        return Image.fromarray(drawn)

    def _repr_png_(self) -> bytes:
        """Show the picture with its boxes as the output of a notebook cell."""
        buffer = io.BytesIO()
        self.plot().save(buffer, "PNG")
        return buffer.getvalue()

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`: class_name, score, x1, y1, x2, y2; one row an object.

        Raises:
            UserError: the package pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError(
                "to_pandas needs the package pandas (pip install pandas); without it take the "
                "arrays boxes, scores and labels"
            ) from error
        columns = {"class_name": [self.class_names[label] for label in self.labels.tolist()]}
        sides = dict(zip(("x1", "y1", "x2", "y2"), self.boxes.T, strict=True))
        return pandas.DataFrame({**columns, "score": self.scores, **sides})

    def to_supervision(self) -> Any:
        """Return a `supervision.Detections` with the class names in `data["class_name"]`.

        Raises:
            UserError: the package supervision is not installed.
        """
        try:
            import supervision
        except ImportError as error:
            raise UserError(
                "to_supervision needs the package supervision (pip install supervision); "
                "without it take the arrays boxes, scores and labels"
            ) from error
        names = np.array([self.class_names[label] for label in self.labels], dtype=str)
        return supervision.Detections(
            xyxy=self.boxes,
            confidence=self.scores,
            class_id=self.labels,
            data={"class_name": names},
        )

    def _as_tensors(self) -> _NetworkDetections:
        return _NetworkDetections(
            boxes=torch.from_numpy(self.boxes),
            scores=torch.from_numpy(self.scores),
            labels=torch.from_numpy(self.labels),
        )


class Detector:
    """Finds objects in pictures; made by `load_detector`."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def __repr__(self) -> str:
        names = self.class_names
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        return f"<Detector of {len(names)} {'class' if len(names) == 1 else 'classes'}: {shown}>"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order of the labels."""
        return self._predictor.class_names

    @overload
    def __call__(self, pictures: Picture) -> Detections: ...

    @overload
    def __call__(self, pictures: list[Any] | tuple[Any, ...]) -> list[Detections]: ...

    def __call__(
        self, pictures: Picture | list[Any] | tuple[Any, ...]
    ) -> Detections | list[Detections]:
        """Detect the objects in one picture, or in each of a list or tuple of pictures.

        Pictures of a list that get the same network shape are computed together, which changes a
        result by no more than the rounding of float32.

        Raises:
            ImageError: a file cannot be read as an image.
            UserError: pixels are in a form that is not supported.
        """
        if isinstance(pictures, list | tuple):
            return self._detect([as_rgb(picture, self._predictor.depth) for picture in pictures])
        return self._detect([as_rgb(pictures, self._predictor.depth)])[0]

    def _detect(self, images: Sequence[ImageArray]) -> list[Detections]:
        framing = self._predictor.framing
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for position, image in enumerate(images):
            groups[framing.letterbox((image.shape[0], image.shape[1])).shape].append(position)
        found: dict[int, Detections] = {}
        for positions in groups.values():
            for start in range(0, len(positions), self._predictor.batch_size):
                chosen = positions[start : start + self._predictor.batch_size]
                batch = framing.batch([images[position] for position in chosen])
                for position, each in zip(chosen, self._predictor(batch), strict=True):
                    found[position] = self._result(each, images[position])
        return [found[position] for position in range(len(images))]

    def _result(self, found: _NetworkDetections, image: ImageArray) -> Detections:
        return Detections(
            boxes=found.boxes.numpy(),
            scores=found.scores.numpy(),
            labels=found.labels.numpy(),
            class_names=self.class_names,
            category_ids=self._predictor.category_ids,
            image_size=(image.shape[0], image.shape[1]),
            pixels=image,
        )


def load_detector(
    weights: str | os.PathLike[str],
    *,
    score_threshold: float = 0.25,
    iou_threshold: float = 0.45,
    max_detections: int = 300,
    image_size: int | None = None,
    device: str = "auto",
    trust: bool = False,
    **settings: Any,
) -> Detector:
    """Return the detector in a weights file.

    A process forked after this computes with one thread; to use more, load in the child.

    Args:
        weights: a `Run` or its folder, .safetensors of a run, the name of published weights that
            were fetched, a released .pt, nothing in which is executed, or a file of export.py
            (.onnx, .xml, .torchscript); the thresholds of one with NMS are fixed, and these have to
            equal them.
        score_threshold: only objects with a higher score, 0 to 1.
        iou_threshold: of two boxes of a class that overlap by more, the better one stays, 0 to 1.
        max_detections: most objects of one picture.
        image_size: long side of the scaled picture in pixels; that of the training where None.
        device: auto, cpu, cuda, cuda:N or mps.
        trust: run weights that are a program (.torchscript, or .xml with custom operations), which
            can do anything that you can; .safetensors, .pt and .onnx are data and do not need it.
        settings: less common ones of prediction: `class_agnostic=True`, boxes of different classes
            suppress each other too; `batch_size=16`, most pictures of a list that are computed
            together; others as in `train`, such as `eval={"multi_label": False}`.

    Raises:
        UserError, ConfigError: the file cannot be read, or a value is out of range.
    """
    named = {
        "eval": {
            "score_threshold": score_threshold,
            "iou_threshold": iou_threshold,
            "max_detections": max_detections,
            "class_agnostic": settings.pop("class_agnostic", False),
            "batch_size": settings.pop("batch_size", 16),
        },
        "train": {"device": device} | ({} if image_size is None else {"image_size": image_size}),
    }
    overrides = [*as_overrides(named), *as_overrides(settings)]
    if not isinstance(weights, str | os.PathLike):
        raise UserError(f"weights are the path of a file, got {type(weights).__name__}")
    compute_alone_after_fork()
    return Detector(Predictor.from_file(best_weights(Path(weights)), overrides, trusted=trust))


def as_rgb(picture: Picture, depth: int | None = None) -> ImageArray:
    """Return the pixels (H, W, 3) uint8 RGB of anything that can be passed to a detector.

    Raises:
        ImageError: a file cannot be read as an image.
        UserError: pixels are in a form that is not supported.
    """
    if isinstance(picture, str | Path):
        return read_image(picture, depth)
    if isinstance(picture, Image.Image):
        if 0 in picture.size:
            raise UserError(f"a picture has at least one pixel, got size {picture.size}")
        try:
            return to_rgb(picture, depth)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UserError(f"Pillow image of mode {picture.mode}: {error}") from error
    if isinstance(picture, Tensor):
        return _from_tensor(picture)
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    raise UserError(
        f"a picture is a path, a numpy array, a tensor or a Pillow image, got "
        f"{type(picture).__name__}; several go in a list"
    )


def _from_array(pixels: npt.NDArray[Any]) -> ImageArray:
    is_grey = pixels.ndim == 2
    if pixels.dtype != np.uint8 or not (is_grey or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise UserError(
            f"a numpy picture is uint8, (H, W, 3) RGB or (H, W) grey, "
            f"got {pixels.dtype} {pixels.shape}"
        )
    if not pixels.size:
        raise UserError(f"a picture has at least one pixel, got shape {pixels.shape}")
    return np.ascontiguousarray(np.repeat(pixels[..., None], 3, axis=2) if is_grey else pixels)


def _from_tensor(pixels: Tensor) -> ImageArray:
    if pixels.layout != torch.strided or pixels.is_meta or pixels.is_quantized:
        raise UserError(
            f"a tensor picture is dense and has values, got {pixels.layout} on {pixels.device}"
        )
    pixels = pixels.detach().cpu()
    is_fraction = pixels.is_floating_point()
    is_understood = is_fraction or pixels.dtype == torch.uint8
    if not is_understood or pixels.ndim != 3 or pixels.shape[0] != 3:
        raise UserError(
            f"a tensor picture is (3, H, W) RGB, uint8 or floating point in [0, 1], "
            f"got {pixels.dtype} {tuple(pixels.shape)}"
        )
    if is_fraction:
        if not bool(((pixels >= 0) & (pixels <= 1)).all()):
            raise UserError("a floating-point picture has values in [0, 1]; divide by 255 first?")
        pixels = (pixels.float() * 255).round().byte()
    return _from_array(pixels.permute(1, 2, 0).numpy())
