"""Weights that other projects published, under our names: one file a project.

`import_weights` recognises the project by the names and shapes of a mapping that was read without
executing anything. Files are read by `commands.build.detector.import_file(path)`, which adds
the checksum; `convert.py`, `load_detector` and `model.weights` use it.
"""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from models.weights.importers import retinanet, rtmdet, yolov9, yolox
from models.weights.importers.imported import ImportedWeights

__all__ = ["ImportedWeights", "import_weights"]

Recognise = Callable[[Mapping[str, Tensor]], bool]
Convert = Callable[[Mapping[str, Tensor], Sequence[str] | None, Sequence[str]], ImportedWeights]

PROJECTS: tuple[tuple[Recognise, Convert], ...] = (
    (yolox.recognises, yolox.convert),
    (rtmdet.recognises, rtmdet.convert),
    (yolov9.recognises, yolov9.convert),
    (retinanet.recognises, retinanet.convert),
)
"""A project is a file with these two functions."""


def import_weights(
    tensors: Mapping[str, Tensor],
    *,
    class_names: Sequence[str] | None = None,
    coco_names: Sequence[str] = (),
) -> ImportedWeights | None:
    """Return the weights of another project as ours, None where no project here is recognised.

    Args:
        tensors: entries of any shape by name, as a file contains them.
        class_names: classes that the file names, None where it names none.
        coco_names: names to be given where it names none and has as many rows.

    Raises:
        ConfigError: the project is recognised, but no network of it fits.
    """
    for recognise, convert in PROJECTS:
        if recognise(tensors):
            return convert(tensors, class_names, coco_names)
    return None
