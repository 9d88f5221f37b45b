"""Section `train`: length, batch, sampler, optimizer, schedule, precision, machine."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from configs.schema.settings import AUTO, BATCH, ObjectName, Settings, derivable

_DEVICE_NUMBERS = re.compile(r"\d+(,\d+)*")


def _device_name(stated: object) -> object:
    """Return `cuda:0` for the 0 and `cuda:0,1` for the 0,1 that other trainers take."""
    if isinstance(stated, int) and not isinstance(stated, bool):
        stated = str(stated)
    if isinstance(stated, list) and all(type(number) is int for number in stated):
        stated = ",".join(map(str, stated))
    if isinstance(stated, str) and _DEVICE_NUMBERS.fullmatch(stated.replace(" ", "")):
        return f"cuda:{stated.replace(' ', '')}"
    return stated


class UniformSampler(Settings):
    """Show every image once per epoch."""

    name: Literal["uniform"] = "uniform"


class RepeatFactorSampler(Settings):
    """Oversample images with rare classes (Gupta et al. 2019); epoch length is unchanged."""

    name: Literal["repeat_factor"]

    threshold: float = Field(default=0.1, gt=0, le=1)
    """Share of images below which a class is rare: images of a class on a share f are shown
    sqrt(threshold / f) times as often."""


class ClassBalancedSampler(Settings):
    """Show every class equally often (Shen et al. 2016); images without objects keep their
    share.
    """

    name: Literal["class_balanced"]


class CustomSampler(Settings):
    """Show images as often as a function of your own weighs them."""

    name: Literal["custom"]

    object: ObjectName
    """The function, as in my_sampler.weights: from the records of the training images to a weight
    above 0 for each; an epoch keeps its length."""


Sampler = Annotated[
    UniformSampler | RepeatFactorSampler | ClassBalancedSampler | CustomSampler,
    Field(discriminator="name"),
]


class SgdSettings(Settings):
    """Stochastic gradient descent with Nesterov momentum."""

    name: Literal["sgd"] = "sgd"

    lr: float = Field(default=0.01, gt=0, json_schema_extra=derivable(AUTO))
    """Peak learning rate, for nominal_batch images per optimizer step; auto: 0.01 from scratch,
    0.003 from model.weights, times images per step / 64."""

    momentum: float = Field(default=0.937, ge=0, lt=1)
    """Momentum after warm-up."""

    weight_decay: float = Field(default=5e-4, ge=0)
    """L2 decay of convolution weights, for nominal_batch images per step; biases and norms have
    none."""


class AdamSettings(Settings):
    """Adam; weight decay is added to the gradient."""

    name: Literal["adam"]

    lr: float = Field(default=0.001, gt=0, json_schema_extra=derivable(AUTO))
    """Peak learning rate, for nominal_batch images per optimizer step; auto: 0.002 from scratch,
    0.001 from model.weights, times the square root of images per step / 16."""

    beta1: float = Field(default=0.937, ge=0, lt=1)
    """Decay of the first moment, after warm-up."""

    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the second moment."""

    weight_decay: float = Field(default=5e-4, ge=0)
    """L2 decay of convolution weights; biases and norms have none."""


class AdamWSettings(Settings):
    """AdamW; weight decay is decoupled from the gradient."""

    name: Literal["adamw"]

    lr: float = Field(default=0.001, gt=0, json_schema_extra=derivable(AUTO))
    """Peak learning rate, for nominal_batch images per optimizer step; auto: 0.002 from scratch,
    0.001 from model.weights, times the square root of images per step / 16."""

    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the first moment, after warm-up."""

    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the second moment."""

    weight_decay: float = Field(default=0.05, ge=0)
    """Decay of convolution weights per unit of learning rate; biases and norms have none."""


Optimizer = Annotated[SgdSettings | AdamSettings | AdamWSettings, Field(discriminator="name")]


class DecaySchedule(Settings):
    """A learning rate that falls over the training."""

    name: Literal["linear", "cosine"] = "linear"
    """Shape of the fall."""

    final: float = Field(default=0.01, gt=0, le=1)
    """Learning rate at the end, as a share of the peak."""


class FlatCosineSchedule(Settings):
    """The peak rate first, then a fall by half a cosine wave (RTMDet, arXiv 2212.07784)."""

    name: Literal["flat_cosine"]

    final: float = Field(default=0.05, gt=0, le=1)
    """Learning rate at the end, as a share of the peak."""

    flat: float = Field(default=0.5, ge=0, lt=1)
    """Share of the epochs at the peak rate, 0 to 1."""


class ConstantSchedule(Settings):
    """The same learning rate throughout."""

    name: Literal["constant"]


Schedule = Annotated[
    DecaySchedule | FlatCosineSchedule | ConstantSchedule, Field(discriminator="name")
]


class WarmupSettings(Settings):
    """The first steps, at small but growing rates."""

    epochs: float = Field(default=3.0, ge=0)
    """Length, in epochs; 0 switches warm-up off."""

    min_iterations: int = Field(default=100, ge=0)
    """Shortest length, in batches; never more than max_share of the run."""

    max_share: float = Field(default=0.5, gt=0, le=1)
    """Longest length, as a share of the run, above 0 to 1."""

    momentum: float = Field(default=0.8, ge=0, lt=1)
    """Momentum (or beta1) at the first batch."""

    bias_lr: float = Field(default=0.1, ge=0, json_schema_extra=derivable(AUTO))
    """Learning rate of biases at the first batch, from where it falls to the common one; auto: the
    peak learning rate."""


class EmaSettings(Settings):
    """Exponential moving average of the weights, which is what is evaluated and saved."""

    decay: float = Field(default=0.9999, ge=0, lt=1, json_schema_extra=derivable(AUTO))
    """Largest decay per optimizer step; 0 switches averaging off; auto: exp(-1 / steps of the
    horizon)."""

    ramp_steps: float = Field(default=2000.0, gt=0, json_schema_extra=derivable(AUTO))
    """Steps over which the decay grows: decay * (1 - exp(-step / ramp_steps)); auto: 1.25 times
    the steps of the horizon."""

    horizon: (
        Annotated[float, Field(gt=0)]
        | Annotated[str, Field(pattern=r"^\d+(\.\d+)? ?(%|epochs?|steps?)$")]
    ) = "4%"
    """Horizon of the average, where decay is auto: epochs (a number, or 4 epochs), a
    share of the run (4%) or optimizer steps (50 steps); at most 10,000 steps, as published."""


class TrainSettings(Settings):
    """How the network is trained."""

    epochs: int = Field(default=100, ge=1, json_schema_extra=derivable(AUTO))
    """Passes over the training images; auto: as many as make 2000 optimizer steps from scratch,
    600 from model.weights, but from 30 to 300 epochs, from 15 to 100 with weights."""

    image_size: int = Field(
        default=640, ge=32, le=8192, multiple_of=32, json_schema_extra=derivable(AUTO)
    )
    """Side of the square network input, pixels, multiple of 32; auto: that of model.weights where
    their file says it, else 640."""

    batch_size: int = Field(default=16, ge=1, json_schema_extra=derivable(AUTO))
    """Images per forward pass and process; auto: as many as the device has memory for, measured
    with a margin on CUDA, by its free memory and at most 16 elsewhere. A run keeps the number."""

    nominal_batch: int = Field(default=64, ge=1, json_schema_extra=derivable(BATCH))
    """Images per optimizer step: gradients of round(nominal_batch / batch_size) batches are
    added up, of all processes; batch: one step a batch."""

    sampler: Sampler = UniformSampler()
    """Which images an epoch shows."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of initial weights, order and augmentation; the same seed gives the same weights on
    CPU."""

    optimizer: Optimizer = SgdSettings()
    """Optimizer and its numbers."""

    freeze: tuple[str, ...] = ()
    """Layers that are not trained, statistics of norms included: backbone, neck, head, rows such
    as 0-9 or model.3, globs over parameter names such as '*.bn.*'."""

    layer_lr: tuple[tuple[str, Annotated[float, Field(gt=0)]], ...] = ()
    """Factors above 0 of the learning rate by layer, [[backbone, 0.1], ...], with names as in
    freeze; where several name one parameter, the last one counts."""

    head_warmup: float = Field(default=0.0, ge=0)
    """Epochs at the start in which only tensors without pretrained weights are trained."""

    schedule: Schedule = DecaySchedule()
    """Learning rate over the training."""

    warmup: WarmupSettings = WarmupSettings()
    """The first steps."""

    ema: EmaSettings = EmaSettings()
    """Running average of the weights."""

    clip_norm: float = Field(default=10.0, ge=0)
    """Largest norm of the gradient of one optimizer step; 0 does not clip."""

    patience: int = Field(default=100, ge=0)
    """Epochs without a better validation mAP50-95 before training stops; 0 never stops early."""

    multi_scale: float = Field(default=0.0, ge=0, lt=1)
    """Random image size per batch between 1 - this and 1 + this times image_size, in steps of 32
    px."""

    precision: Literal["float32", "bf16", "fp16", "auto"] = "auto"
    """Precision of the network: auto takes bf16 on GPUs and CPUs that compute it natively, fp16 on
    other CUDA devices, else float32, and the run keeps that where it is resumed on another machine.
    Losses and weights are float32 always."""

    non_finite: Literal["stop", "skip"] = "stop"
    """What to do about a loss or gradient that is NaN or infinite: stop, or skip the batch (up to
    10 in a row; waits for the device at every batch). Either way the batch is saved for train.py
    --replay. With fp16, gradients that overflow are skipped by design."""

    oom: Literal["stop", "halve"] = "stop"
    """What to do when the device runs out of memory: stop, or compute batches in halves (quarters,
    ...) from there on; images per optimizer step stay the same, batch statistics are per part. Not
    with several processes."""

    sync_batchnorm: bool = False
    """Batch normalisation over the images of all processes (torchrun); else each normalises its own
    and the first one's running statistics count."""

    channels_last: bool = True
    """Memory order NHWC, which is faster on most CPUs and GPUs."""

    compile: Literal["off", "network", "graphs"] = "off"
    """Compile the training step with torch.compile: network, on CUDA the loss as well; graphs
    records CUDA graphs of the network too. Faster steps after minutes of compiling, other last
    digits; a run too short to benefit is refused. For one size of images."""

    device: Annotated[str, BeforeValidator(_device_name)] = Field(
        default="auto", pattern=r"^(auto|cpu|mps|cuda|cuda:\d+(,\d+)*)$"
    )
    """auto (CUDA, else CPU), cpu, mps, cuda, or a number of a CUDA device, as in 0 or cuda:0;
    several, as in 0,1, need torchrun, one process a device."""

    workers: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] = "auto"
    """Processes that load images, 0 to 256; 0 loads in the training process; auto: one a core up to
    8 for a GPU, 2 for a CPU that computes with its cores itself, one more per 8 cores."""

    cache: Literal["auto", "off", "disk"] = "auto"
    """Keep images decoded and shrunk on disk, shared by all workers and later training runs, in
    $FOCALDET_CACHE, else ~/.cache/focaldet: auto if all of them fit into cache_limit and the free
    disk, disk as many as fit, off none. Changes the speed only; best on a local disk."""

    cache_limit: float = Field(default=20.0, gt=0)
    """Largest size of the cache of decoded images, GiB (1000 images of 640 x 480 take 0.86); the
    longest unused are removed when a training run starts."""

    threads: Annotated[int, Field(ge=0, le=1024)] | Literal["auto", "adaptive"] = "auto"
    """Compute threads, 0 to 1024; 0 takes all cores (or $OMP_NUM_THREADS). auto leaves out cores
    that other programs keep busy when the run begins, because threads wait for the slowest; the run
    keeps the number, also when it is resumed, and says so once if it no longer suits the machine.
    To repeat a run bit for bit, state its number: last digits of sums depend on it. adaptive tries
    all cores, half of them and one on a few batches of every 100 and keeps the fastest, as other
    programs come and go; for that reason it needs deterministic: false."""

    deterministic: bool = True
    """Use deterministic algorithms where there is a choice (matters on CUDA)."""

    tensorboard: bool = False
    """Also write TensorBoard events (needs the tensorboard package)."""
