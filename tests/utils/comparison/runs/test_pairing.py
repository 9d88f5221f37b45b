"""Pairing is checked: arms that began differently are told apart, with the key that did it."""

import json
from pathlib import Path

import pytest

from configs.schema.comparison import PairingSettings
from utils.comparison.runs.pairing import require_pairing
from utils.comparison.runs.plan import PlannedRun
from utils.runtime.errors import UserError

CONFIG = "train: {{seed: 0, batch_size: {batch}}}\nloss: {{box: {{gain: {gain}}}}}\n"


def run_of(folder: Path, arm: str, *, seed: int = 0, batch: int = 8, **hashes: str) -> PlannedRun:
    place = folder / arm / f"seed{seed}"
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(CONFIG.format(batch=batch, gain=len(arm)))
    if hashes:
        content = {"weights": "w", "batches": "b", "num_batches": 100, **hashes}
        (place / "pairing.json").write_text(json.dumps(content))
    return PlannedRun(arm=arm, seed=seed, experiment=Path(), overrides=(), folder=place)


def test_equal_beginnings_pass_and_other_seeds_may_differ(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, arm, weights="w") for arm in ("bce", "focal")]
    runs.append(run_of(tmp_path, "bce", seed=1, weights="other", batches="other"))
    require_pairing(runs, PairingSettings())


def test_runs_that_say_nothing_yet_are_no_mistake(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, "bce", weights="w"), run_of(tmp_path, "focal")]
    runs.append(run_of(tmp_path, "third", weights="w", batches=None))  # type: ignore[arg-type]
    require_pairing(runs, PairingSettings())


def test_the_key_that_broke_it_is_named(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, "bce", weights="w")]
    runs.append(run_of(tmp_path, "focal", batch=4, batches="x"))
    with pytest.raises(UserError) as caught:
        require_pairing(runs, PairingSettings())
    text = str(caught.value)
    assert "the first batches of bce seed 0 and focal seed 0 differ" in text
    assert "they differ in train.batch_size;" in text
    assert "pairing.batches=false" in text
    require_pairing(runs, PairingSettings(batches=False))


def test_without_such_a_key_that_is_said_too(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, "bce", weights="w"), run_of(tmp_path, "focal", weights="x")]
    with pytest.raises(UserError, match=r"initial weights .* no key explains it"):
        require_pairing(runs, PairingSettings())
    require_pairing(runs, PairingSettings(weights=False))
