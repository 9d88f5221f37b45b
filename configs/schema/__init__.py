"""What can be configured: frozen pydantic models, one file per section, checked on construction.

Every field carries its unit, range and effect as description; the same text is the `--help` output.
Reading files, merging and overriding are in `configs/reading/load.py`.
"""

from configs.schema.experiment import Experiment

__all__ = ["Experiment"]
