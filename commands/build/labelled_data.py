"""From what a person calls a data set to its records: the one place where programs open data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.load import load_dataset
from configs.schema.data import Dataset
from data.records import load_split
from data.split import Split, SplitName

SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledData:
    """A data set with all its splits read."""

    name: str
    settings: Dataset
    splits: tuple[Split, ...]
    """Those that are set, in the order train, val, test; at least one."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order of the labels."""
        return self.splits[0].class_names


def open_data(stated: str, overrides: Sequence[str] = ()) -> LabelledData:
    """Read every split of a data set.

    Args:
        stated: a data set YAML, or the bare name of one in configs/datasets.
        overrides: `data.key=value` settings that go before the file's.

    Raises:
        ConfigError, UserError: it cannot be found or read.
    """
    settings = load_dataset(stated, overrides)
    has_all = settings.format == "synthetic"
    wanted = [name for name in SPLITS if has_all or getattr(settings, name, None)]
    return LabelledData(
        name=Path(stated).stem,
        settings=settings,
        splits=tuple(load_split(settings, name) for name in wanted),
    )
