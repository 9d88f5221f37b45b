"""`train.precision: auto`: an arithmetic that a run keeps to its end."""

import logging
from dataclasses import replace

import torch

from configs.reading.load import LoadedExperiment
from utils.engine.precision import precision_name
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.machine.device import cpu_computes_bf16

logger = logging.getLogger(__name__)

KEY = "train.precision"


def settle_precision(
    loaded: LoadedExperiment, device: torch.device, ranks: Ranks
) -> LoadedExperiment:
    """Return the experiment with a name in the place of `train.precision: auto`.

    The run stores the name and keeps it where it is resumed, on another machine too: its weights
    depend on it. Of several processes the first one decides for all. Each has to call this.
    """
    settings = loaded.experiment.train
    name = ranks.from_main(precision_name(settings.precision, device))
    if name == "bf16" and device.type == "cpu" and not cpu_computes_bf16():
        logger.warning(
            "%s is bf16, which this CPU has no instructions for: it is slower than float32; "
            "%s=float32 changes that, and the result",
            KEY,
            KEY,
        )
    if settings.precision != "auto":
        return loaded
    train = settings.model_copy(update={"precision": name})
    return replace(
        loaded,
        experiment=loaded.experiment.model_copy(update={"train": train}),
        origins={**loaded.origins, KEY: f"auto: {_reason(name, device)}"},
    )


def _reason(name: str, device: torch.device) -> str:
    machine = "CPU" if device.type == "cpu" else "GPU"
    if name == "bf16":
        return f"the {machine} at the start computes it"
    if name == "fp16":
        return "the GPU at the start computes it, and not bf16"
    return f"the {machine} at the start computes no bf16"
