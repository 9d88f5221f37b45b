"""The first lines of the log of a training run: device, network, data, processes."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from commands.build.noise_steps import NoiseSteps
from configs.reading.load import LoadedExperiment
from configs.schema.train import TrainSettings
from data.records.load import Split
from models.detector import Detector
from utils.engine.precision import choose_precision
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.machine.environment import cpu_name
from utils.runtime.machine.memory import GIB, free_memory, is_out_of_memory, total_memory
from utils.runtime.machine.threads import loader_workers
from utils.runtime.progress import format_duration

FLOPS_PER_PRODUCT = 2
"""A product and its addition."""
WORTH_A_TRIAL = 200
"""Batches of a training; shorter ones are over soon."""
TRIAL_IMAGES = 4
"""Images of the trial step on a CPU: a whole batch would delay the first step of the training."""


def banner(
    detector: Detector,
    settings: TrainSettings,
    device: torch.device,
    ranks: Ranks,
    *,
    network: str,
    images: tuple[int, int],
) -> Iterator[str]:
    """Yield the lines at the start of a training.

    Args:
        detector: on any device.
        settings: section train, all numbers derived.
        device: of the first process.
        ranks: the processes.
        network: what the network is called.
        images: of the training and of the validation split, 0 without one.
    """
    dtype = choose_precision(settings.precision, device)
    arithmetic = "float32" if dtype is None else str(dtype).removeprefix("torch.")
    yield f"device: {_device_text(device)}; computing in {arithmetic}"
    unused = torch.cuda.device_count() - ranks.local_size if device.type == "cuda" else 0
    if unused > 0:
        yield (
            f"  {unused} more GPU{'s' * (unused > 1)} here: torchrun --nproc-per-node "
            f"{unused + ranks.local_size} train.py ... uses all"
        )
    parameters = sum(parameter.numel() for parameter in detector.parameters())
    gflop = forward_flops(detector, settings.image_size) / 1e9
    yield (
        f"network: {network}, {parameters / 1e6:.2f} million parameters, {gflop:.3g} GFLOP for an "
        f"image of {settings.image_size} px"
    )
    train, val = images
    split = f"{val} for validation" if val else "none for validation"
    yield f"data: {train} images to train, {split}; batches of {settings.batch_size}"
    workers = loader_workers(settings.workers, device.type, processes=ranks.local_size)
    processes = f"{ranks.size} processes, each with " if ranks.size > 1 else ""
    yield (
        f"{processes}{_counted(torch.get_num_threads(), 'compute thread')} and "
        f"{_counted(workers, 'loader worker')}"
    )


def expected_time(
    loaded: LoadedExperiment, split: Split, device: torch.device, *, batches_per_epoch: int
) -> str | None:
    """Return the expected duration in words, from a trial step; None for a short training.

    The step runs on random images with a separate network; on a CPU, where time grows with the
    images, on a few of them, which tells up to a third too much for small ones. Reading images,
    evaluation and the exchange between processes are not included.
    """
    settings = loaded.experiment.train
    batches = settings.epochs * batches_per_epoch
    if batches < WORTH_A_TRIAL:
        return None
    steps = NoiseSteps(loaded, split, device, settings.image_size)
    images = settings.batch_size
    if device.type == "cpu":
        images = min(images, TRIAL_IMAGES)
    try:
        seconds = steps.seconds(images) * settings.batch_size / images
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None  # the training meets it too, and says what to do
    return (
        f"about {format_duration(batches * seconds)} for {settings.epochs} epochs, by a trial "
        "step; reading images and evaluation not included"
    )


def forward_flops(detector: nn.Module, image_size: int) -> float:
    """Return the operations of one forward pass, a multiplication and an addition as two.

    Convolutions and linear layers are counted, which hold nearly all. A small image is computed and
    the count scaled to `image_size`, with which it grows as the area does.
    """
    side = 2 * int(getattr(detector, "size_multiple", 32))
    parameter = next(detector.parameters())
    counts: list[float] = []

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = module.weight
        if isinstance(weight, Tensor):
            places = output.numel() if isinstance(module, nn.Linear) else output[0, 0].numel()
            each = weight.numel() if isinstance(module, nn.Conv2d) else weight.shape[1]
            counts.append(float(FLOPS_PER_PRODUCT * places * each))

    layers = [m for m in detector.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    was_training = detector.training
    try:
        with torch.no_grad():
            detector.eval()(torch.zeros(1, 3, side, side, device=parameter.device))
    finally:
        detector.train(was_training)
        for hook in hooks:
            hook.remove()
    return sum(counts) * (image_size / side) ** 2


def _device_text(device: torch.device) -> str:
    free, total = free_memory(device) / GIB, total_memory(device) / GIB
    memory = f"{free:.1f} of {total:.1f} GiB free"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device}), {memory}"
    if device.type == "mps":
        return f"Apple GPU (mps), {memory}"
    return f"{cpu_name()} (cpu), {memory}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1)}"
