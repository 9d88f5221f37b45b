"""Which way of running is tried, taken and kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from utils.comparison.runs.execution import (
    EXECUTION_NAME,
    Execution,
    TriedWay,
    Way,
    best_way,
    fitting,
    keep_execution,
    read_execution,
    ways_to_try,
)
from utils.runtime.errors import UserError


def pairs(ways: list[Way]) -> list[tuple[int, int]]:
    return [(way.jobs, way.threads) for way in ways]


@pytest.mark.parametrize(
    ("cores", "runs", "threads", "expected"),
    [
        (1, 9, None, [(1, 1)]),
        (2, 9, None, [(1, 2), (1, 1), (2, 1)]),
        (2, 1, None, [(1, 2), (1, 1)]),
        (4, 9, None, [(1, 4), (1, 2), (1, 1), (2, 2), (4, 1)]),
        (16, 3, None, [(1, 16), (1, 8), (1, 1), (2, 8), (3, 5)]),
        (6, 36, None, [(1, 6), (1, 3), (1, 1), (2, 3), (4, 1), (6, 1)]),
        (2, 9, 1, [(1, 1), (2, 1)]),
        (2, 9, 2, [(1, 2)]),
        (2, 9, 4, [(1, 4)]),
        (8, 9, 2, [(1, 2), (2, 2), (4, 2)]),
        (8, 3, 2, [(1, 2), (2, 2), (3, 2)]),
        (8, 1, 2, [(1, 2)]),
    ],
)
def test_ways_that_are_worth_a_trial(
    cores: int, runs: int, threads: int | None, expected: list[tuple[int, int]]
) -> None:
    assert pairs(ways_to_try(cores, runs, threads=threads)) == expected


@pytest.mark.parametrize(
    ("seconds", "runs", "expected"),
    [
        # two cores to ourselves: a second thread saves less than a second run
        ({(1, 2): 60, (1, 1): 100, (2, 1): 105}, 4, (2, 1)),
        # memory is the limit: runs side by side hold each other up
        ({(1, 2): 60, (1, 1): 100, (2, 1): 130}, 4, (1, 2)),
        # a single run cannot be side by side
        ({(1, 2): 60, (1, 1): 100, (2, 1): 105}, 1, (1, 2)),
        # an odd number of runs: the last round has one, and takes as long
        ({(1, 2): 60, (1, 1): 100, (2, 1): 105}, 3, (1, 2)),
        # another program keeps a core busy: two threads wait for the slower one
        ({(1, 2): 120, (1, 1): 100, (2, 1): 140}, 4, (2, 1)),
        ({(1, 2): 120, (1, 1): 100}, 1, (1, 1)),
        # equal: fewer at a time
        ({(2, 1): 120, (1, 2): 60}, 4, (1, 2)),
        ({(1, 16): 20, (2, 8): 30, (4, 4): 50, (8, 2): 90, (16, 1): 170}, 36, (4, 4)),
        ({(1, 16): 20, (2, 8): 30, (4, 4): 50, (8, 2): 90, (16, 1): 110}, 32, (16, 1)),
    ],
)
def test_the_way_in_which_all_is_done_soonest_is_taken(
    seconds: dict[tuple[int, int], float], runs: int, expected: tuple[int, int]
) -> None:
    tried = [
        TriedWay(way=Way(jobs=jobs, threads=threads), run_s=run_s)
        for (jobs, threads), run_s in seconds.items()
    ]
    best = best_way(tried, runs)
    assert (best.way.jobs, best.way.threads) == expected
    assert best.seconds_for(runs) == min(one.seconds_for(runs) for one in tried)


def test_runs_that_do_not_fit_into_memory_are_left_out() -> None:
    ways = ways_to_try(8, 8)
    assert pairs(fitting(ways, free=100, each=20)) == [(1, 8), (1, 4), (1, 1), (2, 4), (4, 2)]
    assert pairs(fitting(ways, free=100, each=200)) == [(1, 8), (1, 4), (1, 1)]
    assert fitting(ways, free=100, each=0) == ways


def test_a_decision_is_read_as_it_was_kept(tmp_path: Path) -> None:
    assert read_execution(tmp_path) == Execution()
    tried = [
        TriedWay(way=Way(jobs=1, threads=2), run_s=60.0),
        TriedWay(way=Way(jobs=2, threads=1), run_s=105.0),
    ]
    decision = Execution().with_choice("one", tried[1], tried)
    assert keep_execution(tmp_path, decision).threads == 1
    kept = read_execution(tmp_path)
    assert (kept.threads, kept.jobs_on("one"), kept.jobs_on("two")) == (1, 2, None)
    assert kept.machines["one"]["tried"][0] == {"jobs": 1, "threads": 2, "run_s": 60.0}


def test_machines_agree_on_the_threads_that_were_kept_first(tmp_path: Path) -> None:
    first, second = TriedWay(way=Way(jobs=2, threads=1), run_s=9.0), Way(jobs=4, threads=4)
    assert keep_execution(tmp_path, Execution().with_choice("one", first, [first])).threads == 1
    late = TriedWay(way=second, run_s=3.0)
    assert keep_execution(tmp_path, Execution().with_choice("two", late, [late])).threads == 1
    assert read_execution(tmp_path).jobs_on("two") is None
    same = TriedWay(way=Way(jobs=8, threads=1), run_s=3.0)
    assert keep_execution(tmp_path, Execution().with_choice("two", same, [same])).threads == 1
    kept = read_execution(tmp_path)
    assert (kept.jobs_on("one"), kept.jobs_on("two")) == (2, 8)
    assert keep_execution(tmp_path, Execution(threads=3), goes_before=True).threads == 3
    assert read_execution(tmp_path).threads == 3


def test_machines_agree_on_the_precision_that_was_kept_first(tmp_path: Path) -> None:
    """Else arms would differ in the arithmetic of the machine that happened to train them."""
    first = Execution(threads=1, precision="bf16")
    assert keep_execution(tmp_path, first) == first == read_execution(tmp_path)
    other = Execution(threads=1, precision="float32")
    assert keep_execution(tmp_path, other) == first == read_execution(tmp_path)
    stated = replace(other, threads=2)
    assert keep_execution(tmp_path, stated, goes_before=True) == replace(first, threads=2)


def test_a_precision_is_added_where_none_was_kept(tmp_path: Path) -> None:
    keep_execution(tmp_path, Execution(threads=1))
    assert read_execution(tmp_path).precision is None
    keep_execution(tmp_path, Execution(threads=1, precision="float32"))
    assert read_execution(tmp_path).precision == "float32"


def test_runs_that_began_before_decisions_were_kept_say_theirs(tmp_path: Path) -> None:
    for arm, threads in (("a", None), ("b", 4)):
        run = tmp_path / "runs" / arm / "seed0"
        run.mkdir(parents=True)
        (run / "environment.json").write_text(json.dumps({"threads": threads}))
    assert read_execution(tmp_path) == Execution(threads=4)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"threads": 0}',
        '{"threads": true}',
        '{"threads": 1, "machines": {"x": {}}}',
        '{"threads": 1, "machines": {"x": {"jobs": 0, "tried": []}}}',
        '{"threads": 1, "machines": {"x": {"jobs": 1, "tried": [1]}}}',
        '{"threads": 1, "machines": []}',
        '{"threads": 1, "precision": "auto"}',
        '{"threads": 1, "precision": 16}',
    ],
)
def test_a_damaged_decision_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / EXECUTION_NAME).write_text(content)
    with pytest.raises(UserError, match=EXECUTION_NAME):
        read_execution(tmp_path)
