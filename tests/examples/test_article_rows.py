import contextlib
import gzip
import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from examples import article_rows
from examples.article.classifier import drawn_digits, mnist
from examples.article.row import figure, wrong_figure

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def printed() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as output:
        code = article_rows.main(["--epochs", "2", "--images", "640"])
    assert code == 0, output.getvalue()
    return output.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "F10 alpha 0.25 raises positives | article: raises | here: a positive weighs 0.3333",
        "p = 0.9, y = 1: CE / FL, alpha 0.25 | article: 400 | here: 400 | right",
        "p = 0.9, y = 1: CE / FL, alpha 0.5 | article: 400 | here: 200 | WRONG",
        "mean of four, float32 | article: 0.00470611 | here: 0.004706106",
        "t = 0.7: linear, gamma 1.5 is least at p = | article: - | here: 0.846462",
        "M4 softmax focal + dice | article: - | here: 0.22848381",
        "B14 parameters of 784-500-10 | article: 397510 | here: 397510 | right",
        "S3 snippet: mean | article: - | here: 0.0889705353",
        "unseen digits after 2 epochs",
        "\n0 rows do not come out as expected",
    ],
)
def test_rows_stand_beside_our_values(printed: str, line: str) -> None:
    assert line in printed


def test_every_row_of_the_articles_is_there(printed: str) -> None:
    numbers = [*(f"F{i} " for i in range(1, 13)), *(f"B{i} " for i in range(1, 16))]
    numbers += [*(f"M{i} " for i in range(1, 6)), *(f"O{i} " for i in range(1, 5))]
    for number in numbers:
        assert f"\n    {number}" in printed, number
    assert printed.count("CE / FL, alpha") == 12
    assert "!!!" not in printed


@pytest.mark.slow
def test_it_runs_as_a_program(printed: str) -> None:
    command = [sys.executable, "examples/article_rows.py", "--epochs", "0", "--images", "640"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[:20] == printed.splitlines()[:20]


def test_a_row_that_fails_fails_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [figure("two", 2, 3, within=0.5), wrong_figure("three", 3, 3, within=0.5, why="no")]
    monkeypatch.setattr(article_rows, "SECTIONS", {"broken": lambda: rows})
    assert article_rows.main(["--epochs", "0"]) == 1
    assert "!!! two | article: 2 | here: 3" in capsys.readouterr().out


def test_drawn_digits_are_the_same_each_time_and_all_ten() -> None:
    images, labels = drawn_digits(200, seed=3)
    again, _ = drawn_digits(200, seed=3)
    assert torch.equal(images, again)
    assert not torch.equal(images, drawn_digits(200, seed=4)[0])
    assert images.shape == (200, 784)
    assert images.min() >= -1
    assert images.max() <= 1
    assert set(labels.tolist()) == set(range(10))


def write_idx(path: Path, values: np.ndarray, *, packed: bool = False) -> None:
    header = bytes((0, 0, 8, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    content = header + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_files_are_read_packed_or_not(tmp_path: Path, packed: bool) -> None:
    pixels = np.arange(3 * 28 * 28).reshape(3, 28, 28) % 256
    end = ".gz" if packed else ""
    write_idx(tmp_path / f"train-images-idx3-ubyte{end}", pixels, packed=packed)
    write_idx(tmp_path / f"train-labels-idx1-ubyte{end}", np.array([7, 0, 9]), packed=packed)
    images, labels = mnist(tmp_path, "train")
    assert labels.tolist() == [7, 0, 9]
    assert torch.equal(
        ((images + 1) / 2 * 255).round().long().view(3, 28, 28), torch.tensor(pixels)
    )


def test_files_that_are_no_mnist_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match="has neither train-images-idx3-ubyte nor"):
        mnist(tmp_path, "train")
    images = tmp_path / "train-images-idx3-ubyte"
    images.write_bytes(b"no idx file at all")
    with pytest.raises(ValueError, match="is not an idx file of 3 dimensions"):
        mnist(tmp_path, "train")
    write_idx(images, np.zeros((2, 28, 28)))
    images.write_bytes(images.read_bytes()[:-5])
    with pytest.raises(ValueError, match="is cut short"):
        mnist(tmp_path, "train")
    monkeypatch.setattr(article_rows, "SECTIONS", {})
    with pytest.raises(SystemExit) as caught:
        article_rows.main(["--mnist", str(tmp_path / "gone")])
    assert caught.value.code == 2
    assert "--mnist:" in capsys.readouterr().err
