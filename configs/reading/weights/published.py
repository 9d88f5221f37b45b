"""Weights that others published and that are fetched by name; their addresses are data, in a YAML.

A name in `model.weights` brings its network, its input size and its losses: they are laid beneath
whatever states the name, so that every one of them can be stated otherwise beside it. A file of
ours does so with its network and losses where a recipe would train another one (`own.py`).
"""

import os
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from configs.errors import ConfigError
from configs.origins import CONFIGS_FOLDER, Layer, Source
from configs.reading.locate import WEIGHTS_VARIABLE, find_weights
from configs.reading.public_data import read_entries
from configs.reading.weights.own import network_of_file
from configs.reading.yaml_reader import read_yaml
from configs.schema.settings import Settings

CATALOGUE = CONFIGS_FOLDER / "downloads" / "weights.yaml"
SUFFIXES = (".pth", ".pt", ".ckpt", ".onnx", ".safetensors")
SITE_CATALOGUE = "catalogue.yaml"
"""Name of a further catalogue in the folder $FOCALDET_WEIGHTS; its entries go first."""


class PublishedWeights(Settings):
    """One file of weights, with its licence and what its authors say of it."""

    title: str
    """What they call it."""

    graph: str
    """YAML of the network it fills; beside the catalogue, else in configs/."""

    settings: str | None = None
    """YAML of settings to train it further with; beside the catalogue, else beside the shipped."""

    parameters: float = Field(gt=0)
    """Millions."""

    ap: float | None = Field(default=None, ge=0, le=100)
    """COCO AP in percent, as its authors give it."""

    ap_on: str = ""
    """On which images."""

    image_size: int = Field(ge=32, le=8192, multiple_of=32)
    """Side of the images it was trained on, pixels."""

    licence: str
    """As its authors give it."""

    source: str
    """Where it is described."""

    trained_on: str
    """Data, with their terms."""

    input: str
    """What the authors' own program feeds the network."""

    urls: tuple[str, ...] = Field(min_length=1)
    """Addresses, tried in this order."""

    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{8,64}$")
    """Of the whole file, or its leading digits; null where nobody states it."""

    bytes: int | None = Field(default=None, ge=1)
    """Length; null where nobody states it."""

    about_mb: int | None = Field(default=None, ge=1)
    """Length in megabytes, where `bytes` is not known and this is."""

    folder: str = str(CATALOGUE.parent)
    """Of the catalogue."""

    @model_validator(mode="after")
    def _names_a_file(self) -> "PublishedWeights":
        if PurePosixPath(self.file_name).suffix not in SUFFIXES:
            raise ValueError(f"the first of urls must end in {', '.join(SUFFIXES)}")
        return self

    @property
    def file_name(self) -> str:
        """The name of the published file."""
        return PurePosixPath(urlsplit(self.urls[0]).path).name

    @property
    def size_text(self) -> str:
        """Its length in words."""
        if self.bytes is not None:
            return f"{self.bytes / 1e6:,.1f} MB"
        least = f"at least {4 * self.parameters:,.0f} MB"  # of float32
        return least if self.about_mb is None else f"about {self.about_mb:,} MB"

    def notes(self, name: str) -> dict[str, Any]:
        """Return what a converted file is to remember."""
        return {
            "name": name,
            "licence": self.licence,
            "origin": self.source,
            "trained_on": self.trained_on,
            "input": self.input,
        }


def read_published(path: Path | None = None) -> dict[str, PublishedWeights]:
    """Return the published weights by name: those of the site's own catalogue, then the shipped.

    Args:
        path: another file than the shipped one.

    Raises:
        ConfigError: a catalogue cannot be read or is not of this form.
    """
    folder = os.environ.get(WEIGHTS_VARIABLE)
    site = Path(folder).expanduser() / SITE_CATALOGUE if folder else None
    places = ([site] if site is not None and site.is_file() else []) + [path or CATALOGUE]
    found: dict[str, PublishedWeights] = {}
    for place in reversed(places):
        for name, entry in read_entries(place, PublishedWeights).items():
            found[name] = entry.model_copy(update={"folder": str(place.resolve().parent)})
    return found


def nearest_published(name: str, catalogue: dict[str, PublishedWeights]) -> str | None:
    """Return the name in the catalogue that is most like `name`, None where none is."""
    return next(iter(get_close_matches(name.casefold(), catalogue, n=1)), None)


def find_published(name: str, catalogue: dict[str, PublishedWeights]) -> PublishedWeights:
    """Return one entry of the catalogue; raises ConfigError with the nearest name otherwise."""
    if name in catalogue:
        return catalogue[name]
    close = nearest_published(name, catalogue)
    hint = f"did you mean {close!r}?" if close else f"known are {', '.join(catalogue)}"
    raise ConfigError(f"--get {name}: no such weights; {hint}")


def with_origins(layers: list[Layer], notes: list[str]) -> list[Layer]:
    """Return layers, lowest first, with what a name in `model.weights` brings laid beneath it.

    Args:
        layers: as they were stated; the last one that states `model.weights` counts.
        notes: gets a sentence where something is brought.

    Raises:
        ConfigError: the catalogue or settings it names cannot be read.
    """
    for place in reversed(range(len(layers))):
        model = layers[place].values.get("model")
        if not isinstance(model, dict) or "weights" not in model:
            continue
        name, source = model["weights"], layers[place].source(("model", "weights"))
        entry = _named(name, source)
        if entry is not None:
            brought = _origin_layer(name, entry, rank=source.rank)
            what = f"{entry.graph}, {entry.image_size} px and its losses"
        else:
            network = _network_of(name, layers, place)
            if network is None:
                break
            brought, what = [network], f"{network.values['model']['graph']} and its losses"
        if source.by_user:
            notes.append(
                f"model.weights: {name} brings {what}; what is stated beside it goes first"
            )
        return [*layers[:place], *brought, *layers[place:]]
    return layers


def _network_of(name: object, layers: list[Layer], place: int) -> Layer | None:
    """Return what a file of ours that is named by a layer brings, None where it is no such file."""
    if not isinstance(name, str):
        return None
    weights = find_weights(name, layers[place].source(("model", "weights")))
    return network_of_file(layers, place, Path(weights))


def _named(name: object, source: Source) -> PublishedWeights | None:
    """Return the entry that a value of `model.weights` names, None where it is a file or nobody."""
    if not isinstance(name, str) or not is_bare_name(name) or find_weights(name, source) != name:
        return None
    return read_published().get(name)


def is_bare_name(text: str) -> bool:
    """Tell whether `text` may be a name of published weights: no path, no suffix of weights."""
    return PurePosixPath(text).name == text and "\\" not in text and not Path(text).suffix


def _origin_layer(name: str, entry: PublishedWeights, *, rank: int) -> list[Layer]:
    folder = Path(entry.folder)
    origin = Source(f"weights {name}", folder, rank=rank, by_user=False)
    layers = []
    if entry.settings is not None:
        own = folder / entry.settings
        place = own if own.is_file() else CATALOGUE.parent / entry.settings
        layers.append(Layer(values=read_yaml(place).values, sources={(): origin}))
    values = {"model": {"graph": entry.graph}, "train": {"image_size": entry.image_size}}
    return [*layers, Layer(values=values, sources={(): origin})]
