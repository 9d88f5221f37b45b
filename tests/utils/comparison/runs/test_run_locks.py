"""Claims: one holder at a time, whoever dies, wherever it lived."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from utils.comparison.runs import run_locks as claims
from utils.comparison.runs.run_locks import STALE_S, take_claim, write_owner


def other_machine(path: Path, age_s: float) -> None:
    """Make a claim look as if another machine renewed it so many seconds ago."""
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "host": "elsewhere"}))
    then = time.time() - age_s
    os.utime(path, (then, then))


def test_a_claim_is_held_until_it_is_given_back(tmp_path: Path) -> None:
    claim = take_claim(tmp_path / "claims", "bce-seed0")
    assert claim is not None
    assert take_claim(tmp_path / "claims", "bce-seed0") is None
    assert take_claim(tmp_path / "claims", "bce-seed1") is not None
    claim.release()
    claim.release()
    assert take_claim(tmp_path / "claims", "bce-seed0") is not None


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: take_claim(tmp_path, "run"), range(64)))
    assert sum(claim is not None for claim in found) == 1


def test_the_claim_of_a_dead_process_is_taken_over_once(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path;"
    script += "from utils.comparison.runs.run_locks import take_claim;"
    script += "assert take_claim(Path(sys.argv[1]), 'run')"
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda _: take_claim(tmp_path, "run"), range(64)))
    assert sum(claim is not None for claim in found) == 1


def test_a_living_child_keeps_the_claim_of_its_dead_parent(tmp_path: Path) -> None:
    claim = take_claim(tmp_path, "run")
    assert claim is not None
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    write_owner(claim.path, child.pid)
    owner = json.loads(claim.path.read_text())
    claim.path.write_text(json.dumps({**owner, "processes": owner["processes"][1:]}))
    assert take_claim(tmp_path, "run") is None
    child.communicate(b"\n")
    assert take_claim(tmp_path, "run") is not None


def test_a_later_process_with_the_same_number_is_another_one(tmp_path: Path) -> None:
    claim = take_claim(tmp_path, "run")
    assert claim is not None
    owner = json.loads(claim.path.read_text())
    owner["processes"] = [[os.getpid(), "123"]]
    claim.path.write_text(json.dumps(owner))
    assert take_claim(tmp_path, "run") is not None


@pytest.mark.parametrize(("age_s", "is_free"), [(0.0, False), (STALE_S + 5, True)])
def test_another_machine_is_alive_while_it_renews(
    tmp_path: Path, age_s: float, is_free: bool
) -> None:
    claim = take_claim(tmp_path, "run")
    assert claim is not None
    other_machine(claim.path, age_s)
    assert (take_claim(tmp_path, "run") is not None) == is_free


def test_a_slow_owner_learns_that_it_lost(tmp_path: Path) -> None:
    claim = take_claim(tmp_path, "run")
    assert claim is not None
    assert claim.renew()
    other_machine(claim.path, STALE_S + 5)
    second = take_claim(tmp_path, "run")
    assert second is not None
    assert not claim.renew()
    assert second.renew(os.getpid())


def test_a_claim_that_is_just_being_written_counts(tmp_path: Path) -> None:
    (tmp_path / "run.1.claim").touch()
    assert take_claim(tmp_path, "run") is None
    assert claims.STALE_S > 60
