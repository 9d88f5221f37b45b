"""train.py --lr-range: its command line, its files and its words."""

import csv
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from commands.lr_range.run import curve_csv, curve_page, curve_svg, lr_range, sentences
from commands.train.cli import parse_train_command
from configs.reading.load import load_experiment
from utils.engine.optimization.lr_range import LrCurve

X = np.linspace(-4, 0, 100)
FALLING = 5 - 3 / (1 + np.exp(-6 * (X + 2)))


def curve(losses: np.ndarray, diverged_at: float | None = None) -> LrCurve:
    return LrCurve(lrs=10**X, losses=losses, diverged_at=diverged_at, steps=len(X))


@pytest.mark.parametrize(
    ("words", "expected", "overrides"),
    [
        (["--lr-range"], (), ()),
        (["--lr-range", "1e-5", "1"], (1e-5, 1.0), ()),
        (["--lr-range", "1e-5", "1", "train.seed=3"], (1e-5, 1.0), ("train.seed=3",)),
        (["--lr-range", "train.seed=3"], (), ("train.seed=3",)),
        ([], None, ()),
    ],
)
def test_command_line(
    words: list[str], expected: tuple[float, ...] | None, overrides: tuple[str, ...]
) -> None:
    command = parse_train_command(["--cfg", "configs/quickstart.yaml", *words])
    assert (command.lr_range, command.overrides) == (expected, overrides)


@pytest.mark.parametrize(
    "words",
    ["--lr-range 1", "--lr-range 1 0.1", "--lr-range 0 1", "--lr-range 1 nan",
     "--lr-range=x", "--lr-range 1 2 3", "--lr-range --preflight", "--lr-range 1 2 --resume x"],
)  # fmt: skip
def test_wrong_ranges_are_one_line(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse_train_command(["--cfg", "configs/quickstart.yaml", *words.split()])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "--lr-range" in said


def test_the_last_sentence_is_a_setting_or_what_to_try() -> None:
    *_, last = sentences(curve(FALLING), 0.02)
    found = re.search(r"train\.optimizer\.lr=(\S+) \(now 0\.02\)", last)
    assert found
    assert float(found[1]) == pytest.approx(0.01, rel=0.3)
    assert sentences(curve(X + 9, 1.0), 0.02)[-1].endswith("try --lr-range 1e-06 0.0001")
    assert sentences(curve(np.full(100, 3.0)), 0.02)[-1].endswith("try --lr-range 1 1e+02")
    assert "diverges at 0.5" in sentences(curve(FALLING, 0.5), 0.02)[0]
    assert any("still falls" in line for line in sentences(curve(9 - X), 0.02))
    assert not any("still falls" in line for line in sentences(curve(9 - X, 1.0), 0.02))


def test_files_hold_the_curve() -> None:
    rows = list(csv.DictReader(curve_csv(curve(FALLING)).splitlines()))
    assert [float(row["lr"]) for row in rows] == pytest.approx(list(10**X), rel=1e-5)
    assert [float(row["loss"]) for row in rows] == pytest.approx(list(FALLING), rel=1e-5)
    text = curve_svg(curve(np.append(FALLING[:-3], [90.0, 900.0, 9e4])))
    ElementTree.fromstring(text)
    assert "falls fastest at 0.0" in text
    assert text.count("<polyline") == 2
    assert "90000" not in text
    ElementTree.fromstring(curve_svg(LrCurve(**one)))


one = {"lrs": np.array([0.1]), "losses": np.array([2.0]), "diverged_at": 0.2, "steps": 9}


def test_the_page_has_the_curve_its_points_and_what_to_type() -> None:
    found = curve(FALLING)
    text = curve_page(found, sentences(found, 0.02), "a & <b>")
    assert "a &amp; &lt;b&gt;: learning-rate range test" in text
    assert text.count("<polyline") == 2
    assert f"train.py ... train.optimizer.lr={found.suggestion:.2g}" in text
    assert "(now 0.02)" in text
    assert 20 <= text.count('<tr><th scope="row">') <= 50
    assert 'href="a%20%26%20%3Cb%3E.csv"' in text
    assert not re.search(r'(src|href)="(https?:)?//', text)
    flat = curve(np.full(100, 3.0))
    assert "train.py ..." not in curve_page(flat, sentences(flat, 0.02), "x")


@pytest.mark.slow
def test_a_range_test_leaves_its_three_files_alone(dataset: Path, tmp_path: Path) -> None:
    stated = (
        "data.train_images=12", "data.val_images=6", "data.test_images=3", "data.side=96",
        "train.image_size=64", "train.batch_size=4", "train.nominal_batch=4", "train.workers=0",
        "train.threads=1", "train.cache=off", f"data.path={dataset}", f"run.folder={tmp_path}",
        "run.name=tiny",
    )  # fmt: skip
    text = lr_range(load_experiment("quickstart.yaml", stated), (1e-5, 1e4))
    assert "the loss diverges at" in text
    assert "train.optimizer.lr=" in text
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*"))
    assert names == ["lr_range/tiny.csv", "lr_range/tiny.html", "lr_range/tiny.svg"]
    assert (tmp_path / "lr_range/tiny.html").resolve().as_uri() in text.splitlines()[-1]
    assert len((tmp_path / "lr_range/tiny.csv").read_text().splitlines()) > 20
