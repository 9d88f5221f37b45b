"""Apply `train.compile` to a run: no compiler, a compiler, or a reason to refuse it."""

import torch

from configs.schema.train import TrainSettings
from utils.engine.compiled import Compiler, require_earned
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.errors import UserError
from utils.runtime.machine.compiler import require_compiler


def choose_compiler(
    settings: TrainSettings, device: torch.device, ranks: Ranks, *, num_images: int
) -> Compiler | None:
    """Return how the steps on `num_images` an epoch are compiled, None for not at all.

    The loss is compiled on CUDA, where its many small operators wait for each other; a CPU drops
    unmatched entries and has less to do. With several processes it exchanges counts, which one
    graph cannot contain.

    Raises:
        UserError: this device, machine or training cannot or should not compile.
    """
    if settings.compile == "off":
        return None
    if settings.compile == "graphs":
        _require_graphs(device, ranks)
    if ranks.size > 1 and settings.sync_batchnorm:
        raise UserError(
            "train.compile and train.sync_batchnorm do not go together: compiled code would end at "
            "every norm to wait for the other processes; set one of them off"
        )
    require_earned(settings, device, num_images // (settings.batch_size * ranks.size))
    is_exact = settings.deterministic and device.type == "cuda"
    require_compiler(device, is_exact=is_exact)
    return Compiler(
        batch_size=settings.batch_size,
        has_loss=device.type == "cuda" and ranks.size == 1,
        has_graphs=settings.compile == "graphs",
        is_exact=is_exact,
    )


def _require_graphs(device: torch.device, ranks: Ranks) -> None:
    if device.type != "cuda":
        raise UserError(
            f"train.compile=graphs records CUDA graphs and cannot on {device.type}; set "
            "train.compile=network or train.compile=off"
        )
    if ranks.size > 1:
        raise UserError(
            "train.compile=graphs is for one process: CUDA graphs of several would wait for each "
            "other; set train.compile=network"
        )
