"""Put what was recognised in the place of `data=FOLDER` in a configuration."""

from dataclasses import replace
from pathlib import Path

from configs.reading.load import LoadedExperiment
from configs.schema.data import AutoDataset, DatasetSettings
from data.intake.class_names import with_class_names
from data.intake.recognise import Recognised, recognise, without_missing_lists
from utils.runtime.files.atomic import write_atomically

RECOGNISED = "recognised"


def resolve_data(loaded: LoadedExperiment) -> tuple[LoadedExperiment, Recognised]:
    """Return the configuration with all that the data set's own files say about it.

    Raises:
        UserError: the data set cannot be recognised, or has no class names.
    """
    found = look_at(loaded.experiment.data)
    if found.dataset == loaded.experiment.data:
        return loaded, found
    experiment = loaded.experiment.model_copy(update={"data": found.dataset})
    others = {key: name for key, name in loaded.origins.items() if not key.startswith("data.")}
    own = {
        f"data.{key}": loaded.origins.get(f"data.{key}", RECOGNISED)
        for key in type(found.dataset).model_fields
    }
    return replace(loaded, experiment=experiment, origins=others | own), found


def look_at(dataset: DatasetSettings) -> Recognised:
    """Return the settings that say the same as `dataset`, and what it was taken for."""
    if isinstance(dataset, AutoDataset):
        return recognise(dataset)
    return Recognised(title="", dataset=with_class_names(without_missing_lists(dataset)))


def describe(found: Recognised) -> list[str]:
    """Return lines for a person: what it was taken for, and the YAML that says the same."""
    if not found.title:
        return []
    lines = [f"data is taken for: {found.title}", *found.notes]
    yaml = [f"    {line}" for line in found.to_yaml().splitlines()]
    return [
        *lines,
        "the data YAML that says the same:",
        *(yaml[:30] + ["    ..."] * (len(yaml) > 30)),
    ]


def write_yaml(found: Recognised, path: Path) -> None:
    """Write the data YAML that says the same."""
    write_atomically(path, found.to_yaml().encode("utf-8"))
