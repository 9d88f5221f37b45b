"""A short form of scripts/kill_test.py: 2 killed trainings end as the undisturbed one."""

import pytest

from tests.run_programs import run


@pytest.mark.slow
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("head", [(), ("--modern",)], ids=["anchors", "anchor-free"])
def test_killed_trainings_end_as_undisturbed_ones(head: tuple[str, ...]) -> None:
    done = run("scripts/kill_test.py", "--runs", "2", "--seed", "3", *head)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 runs ended with the same weights" in done.stderr
    assert done.stderr.count("killed") >= 2
