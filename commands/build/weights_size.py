"""What `train.image_size: auto` stands for: the size of the weights that a run starts from."""

from dataclasses import replace
from pathlib import Path

from commands.weights_by_name import find_weights_file
from configs.reading.load import LoadedExperiment
from configs.reading.weights.own import read_content

KEY = "train.image_size"
USUAL_SIZE = 640
"""Pixels; of released weights, whose files do not say, and of runs from scratch."""
STEP = 32


def with_size_of_weights(loaded: LoadedExperiment) -> LoadedExperiment:
    """Return the experiment with a number for `train.image_size: auto`; others as they are.

    The number is fixed before the run begins and kept in its configuration, so that a resumed run
    needs no weights.

    Raises:
        UserError: weights of that name are not on this machine.
    """
    if KEY not in loaded.words:
        return loaded
    weights = loaded.experiment.model.weights
    size = None if weights is None else stated_size(find_weights_file(weights))
    number = USUAL_SIZE if size is None else max(STEP, -(-size // STEP) * STEP)
    why = "the usual one" if size is None else f"that of {Path(weights or '').name}"
    train = loaded.experiment.train.model_copy(update={"image_size": number})
    return replace(
        loaded,
        experiment=loaded.experiment.model_copy(update={"train": train}),
        words={key: word for key, word in loaded.words.items() if key != KEY},
        origins={**loaded.origins, KEY: f"auto: {why}"},
        notes=(*loaded.notes, f"{KEY} = {number}: {why}"),
    )


def stated_size(path: Path) -> int | None:
    """Return the side of the images that weights were trained on, pixels.

    Args:
        path: weights, ours or foreign.

    Returns:
        None where the file does not say; what is wrong with it is told when it is taken.
    """
    size = (read_content(path) or {}).get("image_size")
    return size if type(size) is int and 0 < size <= 8192 else None
