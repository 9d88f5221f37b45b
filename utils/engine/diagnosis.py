"""Find where a NaN or an infinity began, report it, and save the batch for a replay."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.checkpoint.tree import flatten, unflatten
from utils.checkpoint.weights import format_tensor_file, read_tensor_file
from utils.engine.compiled import uncompiled
from utils.engine.guard import name_images
from utils.engine.learner import Learner
from utils.engine.loss_log import REMEDY, NotFiniteError
from utils.engine.protocols import BatchSource
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_atomically
from utils.runtime.files.run_folder import RunFolder
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageMeta
from utils.structures.loss_terms import LossTerms

KIND = "batch to replay"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One batch, the iteration it belongs to (from 0) and the state before it."""

    batch: Batch
    iteration: int
    model: Mapping[str, Tensor]
    criterion: Mapping[str, Tensor]


def save_replay(path: Path, replay: Replay) -> None:
    """Write a replay; its folder is created.

    Raises:
        UserError: not writable or full.
    """
    targets = replay.batch.targets
    values, tensors = flatten(
        {
            "iteration": replay.iteration,
            "images": replay.batch.images,
            "targets": [targets.boxes, targets.labels, targets.image_index],
            "metas": [asdict(meta) for meta in replay.batch.metas],
            "model": dict(replay.model),
            "criterion": dict(replay.criterion),
        }
    )
    header = {"kind": KIND, "format_version": FORMAT_VERSION, "values": values}
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    write_atomically(path, format_tensor_file(tensors, header))


def load_replay(path: Path) -> Replay:
    """Return what `save_replay` wrote.

    Raises:
        UserError: missing, damaged, or another kind of file.
    """
    tensors, header = read_tensor_file(path)
    if header.get("kind") != KIND or header.get("format_version") != FORMAT_VERSION:
        raise UserError(f"{path} is not a batch to replay (version {FORMAT_VERSION})")
    content: dict[str, Any] = unflatten(header["values"], tensors)
    boxes, labels, image_index = content["targets"]
    return Replay(
        batch=Batch(
            images=content["images"],
            targets=Targets(boxes=boxes, labels=labels, image_index=image_index),
            metas=tuple(ImageMeta(**meta) for meta in content["metas"]),
        ),
        iteration=content["iteration"],
        model=content["model"],
        criterion=content["criterion"],
    )


def diagnose(learner: Learner, batch: Batch, iteration: int) -> str:
    """Return a description of the first non-finite tensor: weight, activation, loss term, gradient.

    The pass is that of `iteration`, random numbers included, never compiled: compiled code has no
    outputs of single modules. The learner stays as it is.
    """
    for name, value in learner.model.state_dict().items():
        if not _is_finite(value):
            return f"{name} of the network itself"
    with _unchanged(learner.model), _unchanged(learner.criterion), uncompiled():
        first = _FirstBadOutput(learner.model)
        with first.watching():
            terms = learner.compute(batch.to(learner.device), iteration)
        if first.name is not None:
            return f"the output of {first.name}"
        if bad := bad_terms(terms):
            return f"the loss term {bad[0]}"
        return _bad_gradient(learner.model, terms)


def bad_terms(terms: LossTerms) -> list[str]:
    """Return the names of the loss terms that are not finite."""
    return [name for name, value in terms.items() if not _is_finite(value)]


def _bad_gradient(model: nn.Module, terms: LossTerms) -> str:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    gradients = torch.autograd.grad(terms.total, [p for _, p in named], allow_unused=True)
    # Backward goes from the last layer to the first.
    for (name, _), gradient in reversed(list(zip(named, gradients, strict=True))):
        if gradient is not None and not _is_finite(gradient):
            return f"the gradient of {name}"
    return "nothing that a second pass reproduces"


class _FirstBadOutput:
    """Remembers the first module without parts whose output is not finite."""

    def __init__(self, model: nn.Module) -> None:
        self.name: str | None = None
        self._leaves = {
            name: module for name, module in model.named_modules() if not list(module.children())
        }

    @contextmanager
    def watching(self) -> Iterator[None]:
        handles = [
            module.register_forward_hook(self._hook(name)) for name, module in self._leaves.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Any:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if self.name is None and isinstance(output, Tensor) and not _is_finite(output):
                self.name = name

        return look


@contextmanager
def _unchanged(module: Any) -> Iterator[None]:
    """Restore buffers (batch statistics, running normalisers) afterwards."""
    buffers = list(module.buffers()) if isinstance(module, nn.Module) else []
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


class Explanation:
    """Reports where a non-finite batch went wrong, and saves it in the run's folder."""

    def __init__(self, learner: Learner, folder: RunFolder, batches_per_epoch: int) -> None:
        self._learner = learner
        self._folder = folder
        self._batches_per_epoch = batches_per_epoch

    def __call__(self, batch: Batch, iteration: int, problem: str) -> str:
        """Return problem, place, step, first bad tensor, images and the file, in one line."""
        epoch, number = divmod(iteration, self._batches_per_epoch)
        place = f"epoch {epoch + 1}, batch {number + 1}"
        at = "" if place in problem else f" at {place}"
        return (
            f"{problem}{at}; step {self._learner.step + 1}, {self._beginning(batch, iteration)}"
            f"images {name_images(batch)}; {self._save(batch, iteration, epoch, number)}"
        )

    def _beginning(self, batch: Batch, iteration: int) -> str:
        """Return where it began. One of several processes cannot compute alone; a replay can."""
        ranks = self._learner.ranks
        if ranks.size > 1:
            return f"process {ranks.rank} of {ranks.size} had "
        return f"began in {diagnose(self._learner, batch, iteration)}, "

    def _save(self, batch: Batch, iteration: int, epoch: int, number: int) -> str:
        rank = self._learner.ranks.rank
        name = f"epoch{epoch + 1}-batch{number + 1}" + (f"-process{rank}" if rank else "")
        path = self._folder.not_finite / f"{name}.safetensors"
        replay = Replay(
            batch=batch,
            iteration=iteration,
            model=self._learner.model.state_dict(),
            criterion=self._learner.criterion_state(),
        )
        try:
            save_replay(path, replay)
        except UserError as error:
            return str(error)
        return f"replay it with train.py --replay {path}"


def explain_stop(
    error: NotFiniteError,
    learner: Learner,
    batches: BatchSource,
    folder: RunFolder,
    place: tuple[int, int],
) -> NotFiniteError:
    """Return the error that ends a training run, with its diagnosis.

    Args:
        error: what was noticed.
        learner: as it was left.
        batches: of the training; the batch is made once more.
        folder: of the run.
        place: epoch and batch, both from 0.
    """
    epoch, number = place[0], min(place[1], len(batches) - 1)
    batch = next(iter(batches.epoch(epoch, start=number)))
    explain = Explanation(learner, folder, len(batches))
    text = explain(batch, epoch * len(batches) + number, str(error))
    return NotFiniteError(f"{text}; {REMEDY}", number)
