"""What is left of a comparison, by hand."""

from pathlib import Path

import pytest

from utils.comparison.runs.time_left import (
    Progress,
    read_progress,
    run_seconds_left,
    time_left,
)


@pytest.mark.parametrize(
    ("running", "waiting", "jobs", "expected"),
    [
        ([], 0, 1, 0),
        ([30], 0, 1, 30),
        ([30], 2, 1, 230),
        ([], 3, 2, 200),
        ([30, 80], 0, 2, 80),
        ([30, 80], 1, 2, 130),  # begins at 30
        ([30, 80], 2, 2, 180),  # the second begins at 80
        ([30, 80], 3, 2, 230),
        ([70], 1, 2, 100),  # a free place
    ],
)
def test_runs_begin_as_soon_as_one_ends(
    running: list[float], waiting: int, jobs: int, expected: float
) -> None:
    assert time_left(running, waiting, jobs, 100.0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("elapsed", "typical", "before", "now", "expected"),
    [
        (20, 100, None, None, 80),
        (120, 100, None, None, 0),
        (20, None, None, None, None),
        (20, 100, None, Progress(2, 10), 80),  # as fast as expected
        (60, 100, None, Progress(2, 10), 140),  # slower: 3 epochs take 60 s at least
        (10, 100, None, Progress(4, 10), 15),  # faster: 4 epochs took 10 s at most
        (30, None, None, Progress(1, 4), 60),  # between 60 and 120 s
        (10, 100, Progress(5, 10), Progress(5, 10), 40),  # half was done before
        (10, 100, Progress(5, 10), None, 40),
        (10, 100, Progress(5, 10), Progress(7, 10), 15),  # 2 of 5 in 10 s at most: 25 in all
        (40, 100, Progress(5, 10), Progress(6, 10), 60),  # 2 of 5 take 40 s at least: 100 in all
        (50, 100, None, Progress(10, 10), 0),
    ],
)
def test_what_a_run_has_left(
    elapsed: float,
    typical: float | None,
    before: Progress | None,
    now: Progress | None,
    expected: float | None,
) -> None:
    assert run_seconds_left(elapsed, typical, before, now) == pytest.approx(expected)


def test_files_tell_how_far_a_run_is(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    (tmp_path / "config.yaml").write_text("train: {epochs: 7}\n")
    assert read_progress(tmp_path) is None
    (tmp_path / "metrics.csv").write_text("epoch,lr\n")
    assert read_progress(tmp_path) is None
    (tmp_path / "metrics.csv").write_text("epoch,lr\n0,\n1,0.1\n2,0.1\n")
    assert read_progress(tmp_path) == Progress(2, 7)
    (tmp_path / "config.yaml").write_text("train: {epochs: auto}\n")
    assert read_progress(tmp_path) is None
    (tmp_path / "config.yaml").write_text("train: [")
    assert read_progress(tmp_path) is None
