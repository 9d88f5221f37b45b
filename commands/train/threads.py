"""`train.threads: auto`: a number of compute threads that a run keeps to its end."""

import logging
from dataclasses import replace

import torch

from configs.reading.load import LoadedExperiment
from utils.engine.hooks.thread_watch import ThreadWatch
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.machine.load import choose_threads
from utils.runtime.machine.threads import set_threads

logger = logging.getLogger(__name__)

KEY = "train.threads"
_CHOSEN = "auto: "
"""Begins the origin of a number that was chosen."""


def settle_threads(
    loaded: LoadedExperiment, device: torch.device, ranks: Ranks
) -> LoadedExperiment:
    """Return the experiment with a number in the place of `train.threads: auto`, and set it.

    The run stores the number and takes it again when it is resumed: the last digits of sums depend
    on it. Where a GPU computes the word stays, and means all cores; of several processes each takes
    its share of them.
    """
    settings = loaded.experiment.train
    if settings.threads != "auto" or device.type != "cpu" or ranks.size > 1:
        set_threads(settings.threads, processes=ranks.local_size)
        return loaded
    choice = choose_threads()
    logger.info("%s = %d: %s", KEY, choice.threads, choice.reason)
    set_threads(choice.threads)
    train = settings.model_copy(update={"threads": choice.threads})
    return replace(
        loaded,
        experiment=loaded.experiment.model_copy(update={"train": train}),
        origins={**loaded.origins, KEY: _CHOSEN + choice.reason},
    )


def thread_watch(loaded: LoadedExperiment, ranks: Ranks) -> ThreadWatch | None:
    """Return the hook that says when the number of threads no longer suits the machine.

    None with several processes, each of which would take the others for other programs.
    """
    threads = loaded.experiment.train.threads
    if ranks.size > 1 or not isinstance(threads, int):
        return None
    is_chosen = loaded.origins.get(KEY, "").startswith(_CHOSEN)
    return ThreadWatch(threads, is_chosen=is_chosen)
