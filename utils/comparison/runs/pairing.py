"""Checks the pairing of a seed's arms: same initial weights, same first batches."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from configs.origins import leaves
from configs.reading.yaml_reader import read_yaml
from configs.schema.comparison import PairingSettings
from utils.comparison.runs.plan import PlannedRun
from utils.runtime.errors import UserError
from utils.runtime.files.json_file import read_json_object

PAIRING_NAME = "pairing.json"
_NAMES = {"weights": "initial weights", "batches": "first batches"}
_INNOCENT = ("loss", "run", "eval")
"""Sections without influence on the start of a training run."""


def require_pairing(runs: Sequence[PlannedRun], settings: PairingSettings) -> None:
    """Raise UserError if two arms of a seed began differently, as far as is known yet.

    The message names the keys of the two configurations that may have caused it.
    """
    first: dict[tuple[int, str], tuple[PlannedRun, str]] = {}
    for run in runs:
        found = read_pairing(run.folder)
        for kind in ("weights", "batches"):
            digest = found.get(kind)
            if not getattr(settings, kind) or digest is None:
                continue
            other, known = first.setdefault((run.seed, kind), (run, digest))
            if known != digest:
                raise UserError(_broken(kind, other, run))


def read_pairing(folder: Path) -> Mapping[str, str | None]:
    """Return the hashes that a run has written so far."""
    try:
        content = read_json_object(folder / PAIRING_NAME)
    except UserError:
        return {}
    return {kind: content.get(kind) for kind in _NAMES}


def _broken(kind: str, one: PlannedRun, other: PlannedRun) -> str:
    keys = list(differing_keys(one.folder / "config.yaml", other.folder / "config.yaml"))
    suspects = [key for key in keys if key.split(".")[0] not in _INNOCENT]
    cause = f"they differ in {', '.join(suspects)}" if suspects else "no key explains it"
    return (
        f"the {_NAMES[kind]} of {one.title} and {other.title} differ, so the seeds do not pair the "
        f"arms: {cause}; make that equal, or set pairing.{kind}=false if the arms are meant to "
        "begin differently"
    )


def differing_keys(one: Path, other: Path) -> Iterator[str]:
    """Yield the dotted keys in which two resolved configurations differ."""
    values = [read_yaml(path).values for path in (one, other)]
    flat = [{path: _at(content, path) for path in leaves(content)} for content in values]
    for path in sorted(flat[0].keys() | flat[1].keys()):
        if flat[0].get(path) != flat[1].get(path):
            yield ".".join(path)


def _at(content: object, path: tuple[str, ...]) -> object:
    for name in path:
        content = content[name] if isinstance(content, dict) else None
    return content
