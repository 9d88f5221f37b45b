"""Rendering of training images: by loader workers, or by the training device.

Sampled parameters and boxes are the same; pixels differ by rounding of interpolation.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch

from configs.schema.augment import AugmentSettings
from data.augment.custom import load_custom_ops
from data.augment.operation import PixelOp
from data.augment.pixel_ops import PIXEL_OPS
from data.loading.planned_batch import PlannedBatch
from data.loading.workers import WorkerLoader
from utils.runtime.errors import UserError
from utils.structures.batch import Batch


def rendering_device(
    choice: Literal["auto", "cpu", "train"],
    device: torch.device,
    ops: Iterable[PixelOp] = PIXEL_OPS,
) -> torch.device | None:
    """Return the device that renders whole batches, None where the workers render.

    Args:
        choice: auto takes `device` where that is CUDA.
        device: of the training.
        ops: pixel
            operations; auto takes the workers where one of these runs only there.

    Raises:
        UserError: the device is chosen, but an operation runs only in workers.
    """
    if choice == "cpu" or (choice == "auto" and device.type != "cuda"):
        return None
    in_workers = next((op.name for op in ops if not op.runs_on_device), None)
    if in_workers is None:
        return device
    if choice == "auto":
        return None
    raise UserError(
        f"{in_workers} runs in loader workers, so augment.device cannot be train; use auto or cpu"
    )


def require_usable_ops(augment: AugmentSettings, device: torch.device) -> None:
    """Raise UserError for an operation of `augment.custom` that cannot be used on `device`."""
    rendering_device(augment.device, device, load_custom_ops(augment.custom))


class RenderedBatches:
    """The batches of a loader, rendered on `device`; on CUDA one batch ahead."""

    def __init__(self, loader: WorkerLoader[PlannedBatch], device: torch.device) -> None:
        self._loader = loader
        self._device = device
        self._stream = SideStream(device) if device.type == "cuda" else None

    def __iter__(self) -> Iterator[Batch]:
        """Yield every batch once, on the device.

        Raises:
            UserError: an image cannot be read.
        """
        if self._stream is not None:
            yield from self._stream.rendered(self._loader)
            return
        for planned in self._loader:
            yield planned.to(self._device).render()

    def start(self) -> None:
        """Start the workers of the loader."""
        self._loader.start()

    def close(self) -> None:
        """End the workers of the loader."""
        self._loader.close()


class SideStream:
    """A CUDA stream that copies and renders the next batch during the current training step."""

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        """Create the stream; `cuda` is `torch.cuda`, or a stand-in in tests."""
        self._device = device
        self._cuda = cuda
        self._stream = cuda.Stream(device)

    def rendered(self, batches: Iterable[PlannedBatch]) -> Iterator[Batch]:
        """Yield each batch once the current stream may use it."""
        waiting: tuple[Batch, Any] | None = None
        for planned in batches:
            following = self._render(planned)
            if waiting is not None:
                yield self._hand_over(*waiting)
            waiting = following
        if waiting is not None:
            yield self._hand_over(*waiting)

    def _render(self, planned: PlannedBatch) -> tuple[Batch, Any]:
        """Return a batch that is not ready yet, and the event that signals when it is."""
        with self._cuda.stream(self._stream):
            batch = planned.to(self._device).render()
            is_done = self._cuda.Event()
            is_done.record(self._stream)
        return batch, is_done

    def _hand_over(self, batch: Batch, is_done: Any) -> Batch:
        # Waiting for the whole stream would wait for the batch after this one, too.
        current = self._cuda.current_stream(self._device)
        current.wait_event(is_done)
        targets = batch.targets
        for tensor in (batch.images, targets.boxes, targets.labels, targets.image_index):
            # Its memory belongs to the side stream, which must not reuse it in the meantime.
            tensor.record_stream(current)
        return batch
