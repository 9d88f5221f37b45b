"""The public data sets that can be fetched by name; their addresses are data, in a YAML."""

from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

from pydantic import Field, ValidationError

from configs.errors import ConfigError
from configs.origins import CONFIGS_FOLDER
from configs.reading.yaml_reader import read_yaml
from configs.schema.settings import Settings

CATALOGUE = CONFIGS_FOLDER / "downloads" / "datasets.yaml"
Entry = TypeVar("Entry", bound=Settings)


class PublicFile(Settings):
    """One file of a data set."""

    urls: tuple[str, ...] = Field(min_length=1)
    """Addresses, tried in this order."""

    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the whole file; null where nobody states it."""

    bytes: int | None = Field(ge=1)
    """Length; null where nobody states it."""

    about_mb: int = Field(ge=1)
    """Length in megabytes, to be told beforehand."""

    into: str
    """Folder below the data sets' folder; zip files are unpacked there."""

    strip: int = Field(default=0, ge=0)
    """Leading folders left out of the names in the archive."""

    gives: str
    """File or folder below the data sets' folder that is there afterwards."""


class PublicDataset(Settings):
    """A data set with its licence."""

    title: str
    """What it shows."""

    images: int = Field(ge=1)
    """Number of images."""

    licence: str
    """As its authors state it."""

    source: str
    """Where it is described."""

    files: tuple[PublicFile, ...] = Field(min_length=1)
    """What is fetched, in this order."""

    @property
    def about_mb(self) -> int:
        """Length of all files in megabytes."""
        return sum(file.about_mb for file in self.files)


def read_catalogue(path: Path = CATALOGUE) -> dict[str, PublicDataset]:
    """Return the data sets by name.

    Raises:
        ConfigError: the file cannot be read or is not of this form.
    """
    return read_entries(path, PublicDataset)


def read_entries(path: Path, kind: type[Entry]) -> dict[str, Entry]:
    """Return the entries of a catalogue by name.

    Raises:
        ConfigError: the file cannot be read or is not of this form.
    """
    values = read_yaml(path).values
    try:
        return {name: kind.model_validate(entry, strict=False) for name, entry in values.items()}
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {place}: {first['msg']}") from None


def find_public_data(name: str, catalogue: dict[str, PublicDataset]) -> PublicDataset:
    """Return one data set of the catalogue; raises ConfigError with the nearest name otherwise."""
    if name in catalogue:
        return catalogue[name]
    close = get_close_matches(name, catalogue, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(catalogue)}"
    raise ConfigError(f"--get {name}: no such data set; {hint}")
