"""Whether a GPU computes what the CPU computes; `gpu.py` runs these.

Each check returns in words what it compared, or raises `DeviceError`. All but three run on a CPU
too, where they compare it with itself: that tests the checks.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from benchmarks.training_problem import TARGETS_PER_IMAGE, TrainingProblem
from configs.schema.augment import AugmentSettings
from data.loading.dataset import SampleKey, TrainDataset
from data.loading.planned_batch import load_planned
from models.inference.nms import Postprocess
from models.losses import DetectionCriterion
from utils.engine.compiled import Compiler
from utils.runtime.seeding import set_deterministic
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageArray, Record
from utils.structures.predictions import LevelAssignment, Predictions

CPU = torch.device("cpu")
TOLERANCE = 1e-4
"""Relative difference of float32 sums that both devices may have."""
AMP_TOLERANCE = 0.05
AMP_STEPS = 5
COMPILED_STEPS = 3
COMPILED_TOLERANCE = 1e-3
"""Relative difference of weights after these steps."""
MIN_DRAWN = 8
"""Images of a batch in which every kind of augmentation occurs."""
SAME_CODE_LEVELS = 0.05
"""Mean difference of drawn images, levels of 255: a last bit may round a level otherwise."""
OTHER_CODE_LEVELS = 4.0
"""The same to a worker's images, whose turned tiles have a rim and upright ones may be 1/16 px
off."""


class DeviceError(Exception):
    """The device does not compute what it should."""


class GpuNeededError(Exception):
    """The check needs a GPU."""


Check = Callable[[TrainingProblem], str]


def require_close(name: str, got: Tensor, expected: Tensor, tolerance: float = TOLERANCE) -> float:
    """Return the largest difference as a share of the largest value, if it is small enough."""
    scale = expected.abs().max().clamp(min=1e-12)
    difference = float((got.to(expected.device) - expected).abs().max() / scale)
    if not difference <= tolerance:
        raise DeviceError(f"{name} differs by {difference:.1e} of its largest value")
    return difference


def output_and_targets(problem: TrainingProblem) -> tuple[DetectionCriterion, Predictions, Targets]:
    """Return the criterion, what a network says, and the truth, all on the CPU."""
    learner = replace(problem, device=CPU).learner("train.precision=float32")
    batch = problem.batch()
    with torch.no_grad():
        predictions = learner.model(batch.pixels())
    if not isinstance(learner.criterion, DetectionCriterion):
        raise TypeError("a detector is trained with a DetectionCriterion")
    return learner.criterion, predictions, batch.targets


def moved(predictions: Predictions, device: torch.device) -> Predictions:
    """Return raw output on another device, as leaves that take a gradient."""
    levels = tuple(
        level.detach().to(device, copy=True).requires_grad_() for level in predictions.levels
    )
    anchors = None if predictions.anchors is None else predictions.anchors.to(device)
    return replace(predictions, levels=levels, anchors=anchors)


def check_loss(problem: TrainingProblem) -> str:
    """Terms and gradients of the loss are those of the CPU."""
    criterion, predictions, targets = output_and_targets(problem)
    results = []
    for device in (CPU, problem.device):
        there = moved(predictions, device)
        terms = criterion.to(device)(there, targets.to(device))
        terms.total.backward()
        gradients = [level.grad for level in there.levels]
        results.append(
            (torch.stack([terms["box"], terms["objectness"], terms["classification"]]), gradients)
        )
    (expected, expected_gradients), (got, gradients) = results
    worst = require_close("loss", got.detach(), expected.detach())
    for one, other in zip(gradients, expected_gradients, strict=True):
        if one is None or other is None:
            raise DeviceError("a level has no gradient")
        worst = max(worst, require_close("gradient of the loss", one, other))
    return f"terms and gradients within {worst:.1e}"


def check_assignment(problem: TrainingProblem) -> str:
    """The same cells are assigned to the same targets."""
    criterion, predictions, targets = output_and_targets(problem)
    found = []
    for device in (CPU, problem.device):
        assignment = criterion.assigner(moved(predictions, device), targets.to(device))
        found.append([matches(level) for level in assignment.levels])
    if found[0] != found[1]:
        raise DeviceError("other cells are assigned to the targets")
    return f"{sum(len(level) for level in found[0])} matches, the same"


def matches(level: LevelAssignment) -> list[tuple[int, ...]]:
    """Return image, anchor, row, column and target of the valid matches, sorted."""
    columns = (level.image, level.anchor, level.row, level.column, level.target)
    rows = torch.stack([column.cpu() for column in columns], dim=1)[level.valid.cpu()]
    return sorted(tuple(row) for row in rows.tolist())


def check_suppression(problem: TrainingProblem) -> str:
    """Score filter and suppression give the same detections."""
    _, predictions, _ = output_and_targets(problem)
    process = Postprocess()
    on_cpu = process(moved(predictions, CPU)).detections
    there = process(moved(predictions, problem.device)).detections
    count = 0
    for got, expected in zip(there, on_cpu, strict=True):
        if len(got.labels) != len(expected.labels):
            raise DeviceError(f"{len(got.labels)} detections instead of {len(expected.labels)}")
        if len(expected.labels):
            require_close("scores", got.scores, expected.scores)
        count += len(expected.labels)
    return f"{count} detections, scores within {TOLERANCE:g}"


def check_precision(problem: TrainingProblem, precision: str) -> str:
    """Losses in reduced precision are near those in float32, and stay finite."""
    if precision == "fp16" and problem.device.type != "cuda":
        raise GpuNeededError
    losses = {}
    for name in ("float32", precision):
        learner, batch = problem.learner(f"train.precision={name}"), problem.batch()
        terms = [learner.learn(batch, step) for step in range(AMP_STEPS)]
        losses[name] = torch.stack([each.total.detach() for each in terms if each is not None])
    difference = require_close(
        f"loss in {precision}", losses[precision], losses["float32"], AMP_TOLERANCE
    )
    return f"losses of {AMP_STEPS} steps within {difference:.1e} of float32"


def check_resume(problem: TrainingProblem) -> str:
    """Two steps, save, load and two more are four steps, bit by bit."""
    with deterministic():
        whole, first = problem.learner(), problem.learner()
        for step in range(4):
            whole.learn(problem.batch(step), step)
        for step in range(2):
            first.learn(problem.batch(step), step)
        second = problem.learner()
        second.load_state(first.state())
        for step in range(2, 4):
            second.learn(problem.batch(step), step)
    for name, value in whole.vital_tensors().items():
        if not torch.equal(value, second.vital_tensors()[name]):
            raise DeviceError(f"{name} differs after a resume")
    return f"{len(whole.vital_tensors())} tensors, bit by bit"


@contextmanager
def deterministic() -> Iterator[None]:
    """Use deterministic algorithms inside."""
    set_deterministic(True)
    try:
        yield
    finally:
        set_deterministic(False)


def check_augmentation(problem: TrainingProblem) -> str:
    """Images drawn by the device are the CPU's, and nobody waits for them."""
    dataset, keys = planned_samples(problem)
    worker = dataset.batch(keys)
    planned = load_planned(dataset, keys)
    expected = planned.render()
    if problem.device.type == "cuda":
        planned = planned.pin_memory()
    with unasked(problem.device):
        drawn = planned.to(problem.device).render()
    got = drawn.to(CPU)
    for name in ("boxes", "labels", "image_index"):
        if not torch.equal(getattr(got.targets, name), getattr(worker.targets, name)):
            raise DeviceError(f"other {name} than a worker's")
    own = mean_levels("images drawn on the CPU by the same code", got, expected, SAME_CODE_LEVELS)
    other = mean_levels("images drawn by a worker", got, worker, OTHER_CODE_LEVELS)
    return (
        f"{len(got.targets)} boxes, the same; images within {own:.3f} levels in the mean, "
        f"{other:.2f} of a worker's"
    )


def planned_samples(problem: TrainingProblem) -> tuple[TrainDataset, list[SampleKey]]:
    """Return images in memory, with strong augmentation, and the keys of a batch of them."""
    rng, side = np.random.default_rng(0), problem.image_size
    images: dict[str, ImageArray] = {}
    records = []
    for index, (height, width) in enumerate([(side, side), (side // 2, side), (2 * side, side)]):
        noise = rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
        smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        images[str(index)] = np.asarray(smooth, np.uint8)
        corner = rng.uniform(0, 0.5, (TARGETS_PER_IMAGE, 2))
        boxes = np.concatenate((corner, corner + 0.4), axis=1) * [width, height, width, height]
        records.append(
            Record(
                path=str(index),
                image_id=index,
                size=(height, width),
                boxes=boxes.astype(np.float32),
                labels=np.arange(TARGETS_PER_IMAGE),
                ignore=np.zeros(TARGETS_PER_IMAGE, np.bool_),
                area=np.ones(TARGETS_PER_IMAGE, np.float32),
            )
        )
    augment = AugmentSettings(
        mixup=0.5, mosaic_nine=0.5, degrees=10, perspective=0.0005, flip_vertical=0.5
    )
    dataset = TrainDataset(
        records, augment=augment, seed=0, read=lambda record: images[record.path]
    )
    count = max(problem.batch_size, MIN_DRAWN)
    return dataset, [
        SampleKey(epoch=number, index=number % len(records), image_size=side)
        for number in range(count)
    ]


def mean_levels(name: str, got: Batch, expected: Batch, tolerance: float) -> float:
    """Return the mean difference of levels, if it is small enough."""
    difference = float((got.images.float() - expected.images.float()).abs().mean())
    if not difference <= tolerance:
        raise DeviceError(f"{name}: other by {difference:.2f} levels in the mean")
    return difference


def check_no_waiting(problem: TrainingProblem) -> str:
    """A step asks the device for nothing."""
    if problem.device.type != "cuda":
        raise GpuNeededError
    learner, batch = problem.learner(), problem.batch().pin_memory()
    learner.learn(batch, 0)
    with unasked(problem.device):
        for step in range(1, 4):
            learner.learn(batch, step)
    return "3 steps under CUDA's synchronisation check"


@contextmanager
def unasked(device: torch.device) -> Iterator[None]:
    """Raise DeviceError where something inside waits for a CUDA device."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except RuntimeError as error:
        raise DeviceError(str(error).splitlines()[0]) from error
    finally:
        torch.cuda.set_sync_debug_mode("default")


def compilers(problem: TrainingProblem) -> dict[str, Compiler]:
    """Return what each value of `train.compile` means on the device."""
    network = Compiler(batch_size=problem.batch_size)
    if problem.device.type != "cuda":
        return {"network": network}
    network = replace(network, has_loss=True, is_exact=True)
    return {"network": network, "graphs": replace(network, has_graphs=True)}


def check_compiled(problem: TrainingProblem) -> str:
    """Compiled steps have the losses of the others and lead to their weights."""
    if problem.device.type != "cuda":
        raise GpuNeededError
    differences = [compare_compiled(problem, each) for each in compilers(problem).values()]
    return f"losses of {COMPILED_STEPS} steps within {max(differences):.1e}, network and graphs"


def compare_compiled(problem: TrainingProblem, compiler: Compiler) -> float:
    """Return by which share of the largest one losses of compiled steps differ."""
    plain, compiled = (problem.learner("train.precision=float32") for _ in range(2))
    compiled.compile(compiler)
    losses: list[list[Tensor]] = [[], []]
    for step in range(COMPILED_STEPS):
        for found, learner in zip(losses, (plain, compiled), strict=True):
            terms = learner.learn(problem.batch(step), step)
            assert terms is not None
            found.append(terms.total.detach())
    # Compared after all steps: what CUDA graphs overwrite shows only then.
    expected, got = (torch.stack(found) for found in losses)
    difference = require_close("loss", got, expected)
    weights = compiled.model.state_dict()
    for name, value in plain.model.state_dict().items():
        require_close(name, weights[name].float(), value.float(), COMPILED_TOLERANCE)
    return difference


CHECKS: dict[str, Check] = {
    "loss": check_loss,
    "assignment": check_assignment,
    "score filter and suppression": check_suppression,
    "bf16": lambda problem: check_precision(problem, "bf16"),
    "fp16": lambda problem: check_precision(problem, "fp16"),
    "resume": check_resume,
    "no waiting in a step": check_no_waiting,
    "compiled steps": check_compiled,
    "augmentation on the device": check_augmentation,
}


def run_checks(problem: TrainingProblem) -> tuple[list[str], bool]:
    """Return a line for each check, and whether none failed."""
    lines, is_fine = [], True
    for name, check in CHECKS.items():
        try:
            lines.append(f"ok       {name}: {check(problem)}")
        except GpuNeededError:
            lines.append(f"skipped  {name}: needs a GPU")
        except DeviceError as failure:
            lines.append(f"FAILED   {name}: {failure}")
            is_fine = False
    return lines, is_fine
