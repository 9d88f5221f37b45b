"""Open a data set by its name, folder or file: the one place for all programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from configs.reading.load import load_dataset
from configs.schema.data import Dataset
from data.intake.resolve import look_at
from data.records.load import load_split
from data.records.split import Split, SplitName

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
        stated: a data set YAML or the bare name of one in configs/datasets, a folder as a tool
            wrote it, an archive, a COCO JSON.
        overrides: `data.key=value` settings that go before the file's.

    Raises:
        ConfigError, UserError: it cannot be found or read.
    """
    settings = cast(Dataset, look_at(load_dataset(stated, overrides)).dataset)
    has_all = settings.format == "synthetic"
    wanted = [name for name in SPLITS if has_all or getattr(settings, name, None)]
    return LabelledData(
        name=_name(Path(stated)),
        settings=settings,
        splits=tuple(load_split(settings, name) for name in wanted),
    )


def _name(path: Path) -> str:
    """Return a name for people: many files are just called data.yaml."""
    is_telling = path.stem.lower() not in ("data", "dataset")
    return path.stem if is_telling else path.resolve().parent.name
