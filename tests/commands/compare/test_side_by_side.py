"""Trials with a program that answers at once in place of trainings."""

import json
import logging
import re
import sys
from pathlib import Path

import psutil
import pytest

from commands.compare import side_by_side
from commands.compare.side_by_side import Measured, in_order, measure_ways
from utils.comparison.runs.execution import Way
from utils.runtime.errors import UserError

PROGRAM = """
import json, os, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
is_second = any(name.startswith("asked") for name in os.listdir(folder))
print("a line of a library")
for line in sys.stdin:
    question = json.loads(line)
    with open(f"{folder}/asked-{os.getpid()}", "a") as file:
        file.write(line)
    do, threads = question["do"], question["threads"]
    if FAILS:
        print("the last line says why", file=sys.stderr)
        raise SystemExit(2)
    time.sleep(0.2 if do == "build" else 0)
    answer = {"steps": 100, "memory": MEMORY}
    if do.startswith("measure"):
        answer["times"] = [3.0 / threads, 5.0 / threads]
    if do == "measure all":
        answer["evaluations_s"] = 60.0
    print("@ " + json.dumps(answer), flush=True)
open(f"{folder}/ended-{os.getpid()}", "w").close()
"""
ALL = (Way(jobs=1, threads=2), Way(jobs=1, threads=1), Way(jobs=2, threads=1))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "compare.py"
    monkeypatch.setattr(side_by_side, "program_file", lambda name: tmp_path / f"{name}.py")
    return path


def write(path: Path, *, fails: str = "False", memory: int = 1) -> None:
    path.write_text(PROGRAM.replace("FAILS", fails).replace("MEMORY", str(memory)))


def measured(*ways: Way) -> list[Measured]:
    return measure_ways(Path("x.yaml"), ["train.epochs=3"], ways)


def asked(path: Path) -> list[list[tuple[str, int]]]:
    """Return what each training was asked, that which was asked most first."""
    found = []
    for file in path.parent.glob("asked-*"):
        questions = [json.loads(line) for line in file.read_text().splitlines()]
        found.append([(question["do"], question["threads"]) for question in questions])
    return sorted(found, key=len, reverse=True)


@pytest.mark.slow
def test_every_way_is_measured_by_as_many_trainings(
    program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(program)
    with caplog.at_level(logging.INFO):
        found = measured(*ALL)
    assert [one.way for one in found] == [ALL[0], ALL[2]]
    assert [one.mean_s for one in found] == [2.0, 4.0]
    assert [one.times.measured for one in found] == [2, 4]
    # evaluations were measured with two threads; with one they take twice as long, as steps do
    start_s = found[0].besides_s - 60
    assert 0.2 < start_s < 60
    assert found[1].besides_s == pytest.approx(start_s + 120)
    assert found[1].tried.run_s == pytest.approx(100 * 4 + start_s + 120)
    first, second = asked(program)
    assert [do for do, _ in first if do != "build"] == [
        "fill_cache", "measure all", "measure",
    ]  # fmt: skip
    assert [threads for do, threads in first if do.startswith("measure")] == [2, 1]
    assert second == [("build", 1), ("measure", 1)]
    assert len(list(program.parent.glob("ended-*"))) == 2
    assert re.search(r"tried 2 at a time with 1 thread: 4 s a step, \d+:\d\d a run", caplog.text)


def test_the_order_of_trials_begins_alone_and_goes_from_most_at_a_time_to_fewest() -> None:
    ways = [Way(jobs=jobs, threads=threads) for jobs, threads in ((4, 1), (1, 1), (1, 4), (2, 2))]
    assert in_order([*ways, Way(jobs=1, threads=2)]) == [
        Way(jobs=1, threads=4),
        Way(jobs=2, threads=2), Way(jobs=1, threads=2),
        Way(jobs=4, threads=1), Way(jobs=1, threads=1),
    ]  # fmt: skip
    decided = [Way(jobs=jobs, threads=2) for jobs in (1, 2, 4)]
    assert [way.jobs for way in in_order(decided)] == [1, 4, 2]


@pytest.mark.slow
def test_a_single_way_is_no_trial_to_speak_of(
    program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(program)
    with caplog.at_level(logging.INFO):
        (one,) = measured(Way(jobs=2, threads=3))
    assert (one.mean_s, one.times.measured) == (pytest.approx(4 / 3), 4)
    assert not caplog.messages


@pytest.mark.slow
def test_ways_that_do_not_fit_into_memory_are_not_tried(
    program: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(program, memory=1 << 62)
    with caplog.at_level(logging.INFO):
        found = measured(*ALL)
    assert [one.way for one in found] == list(ALL[:2])
    assert "not tried: 2 at a time with 1 thread, memory is too small" in caplog.text


def test_a_training_that_cannot_be_built_is_one_line(program: Path) -> None:
    write(program, fails="True")
    with pytest.raises(UserError, match=r"could not be tried: the last line says why$"):
        measured(*ALL)


@pytest.mark.slow
def test_a_second_training_that_fails_leaves_the_ways_without_it(
    program: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(program, fails="is_second")
    found = measured(*ALL)
    assert [one.way for one in found] == list(ALL[:2])
    assert "2 at a time with 1 thread: a training could not be tried" in caplog.text


@pytest.mark.slow
def test_no_training_outlives_an_interrupt(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(program)
    before = set(psutil.Process().children(recursive=True))

    def interrupted(times: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(side_by_side, "_mean", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measured(*ALL)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_questions_are_answered_line_by_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other side: builds once, sets the threads of each question, ends its workers."""
    done: list[object] = []

    class Training:
        steps = 12

        def __init__(self, loaded: object) -> None:
            sys.stdout.write("a line of a library\n")
            done.append(loaded)

        def fill_cache(self) -> None:
            done.append("filled")

        def measure_steps(self) -> list[float]:
            return [0.5]

        def measure_evaluations(self) -> float:
            return 7.0

        def close(self) -> None:
            done.append("closed")

    experiment = type("Loaded", (), {"experiment": type("E", (), {"train": _Settings})})
    monkeypatch.setattr(side_by_side, "MeasuredTraining", Training)
    monkeypatch.setattr(side_by_side, "load_experiment", lambda cfg, overrides: experiment)
    monkeypatch.setattr(side_by_side, "with_size_of_weights", lambda loaded: loaded)
    monkeypatch.setattr(side_by_side, "set_threads", done.append)
    monkeypatch.setattr(side_by_side, "set_deterministic", lambda enabled: None)
    words = ("build", "fill_cache", "measure", "measure all")
    lines = [json.dumps({"do": do, "threads": n}) for n, do in enumerate(words, start=1)]
    monkeypatch.setattr(sys, "stdin", iter(lines))
    out = sys.stdout
    try:
        side_by_side.answer_questions(Path("x.yaml"), [])
    finally:
        sys.stdout = out
    assert done == [1, experiment, 2, "filled", 3, 4, "closed"]
    said = capsys.readouterr().out.splitlines()
    assert all(line.startswith("@ ") for line in said)
    answers = [json.loads(line.removeprefix("@ ")) for line in said]
    assert [answer["steps"] for answer in answers] == [12] * 4
    assert ["times" in answer for answer in answers] == [False, False, True, True]
    assert [answer.get("evaluations_s") for answer in answers] == [None, None, None, 7.0]
    assert all(answer["memory"] > 0 for answer in answers)


class _Settings:
    deterministic = True
