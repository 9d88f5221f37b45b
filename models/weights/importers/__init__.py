"""Weights that other projects published, under our names: one file a project.

    import_weights(tensors, class_names=None) -> ImportedWeights | None

recognises the project by the names and shapes of a mapping that was read without executing
anything, None where it is nobody's that is known here. Files are read by
`commands.build.foreign_weights.import_file(path) -> ImportedWeights | None`, which adds the
checksum; `convert.py`, `load_detector` and `model.weights` use it.
"""

from models.weights.importers.imported import ImportedWeights

__all__ = ["ImportedWeights"]
