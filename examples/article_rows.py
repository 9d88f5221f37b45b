"""Compute every worked row of five articles on focal loss again and say where they are wrong.

    python examples/article_rows.py [--epochs 5] [--images 6000] [--mnist FOLDER]

Articles and rows are named as in docs/articles.md.

Ends with the articles' small classifier on drawn digits, or on the idx files of MNIST in a folder.
The exit code is 1 where a row does not come out as expected.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from torch import Tensor

from examples.article.basics import basics
from examples.article.classes import hard_examples, several_classes, soft_labels
from examples.article.classifier import accuracy, drawn_digits, mnist, small_classifier, train
from examples.article.row import Row
from examples.article.wrapper import four_samples, snippet, table, wrapper

SECTIONS: dict[str, Callable[[], Iterable[Row]]] = {
    "The FocalLoss wrapper": wrapper,
    "CE against FL; the article states alpha 0.5 and used 0.25": table,
    "Four samples": four_samples,
    "The snippet with logit 32.1": snippet,
    "BCE, CE, softmax, training": basics,
    "Where soft targets are driven to": soft_labels,
    "Several classes": several_classes,
    "Hard examples, RetinaNet": hard_examples,
}
CHANCE = 0.1


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all rows and the classifier; return how the program should exit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5, help="of the classifier; 0 leaves it out")
    parser.add_argument("--images", type=int, default=6000, help="drawn digits to train on")
    parser.add_argument("--mnist", type=Path, help="folder with the four idx files of MNIST")
    options = parser.parse_args(arguments)
    failed = [row for title, rows in SECTIONS.items() for row in _show(title, rows())]
    if options.epochs > 0:
        try:
            digits = _digits(options.mnist, options.images)
        except (FileNotFoundError, ValueError) as error:
            parser.error(f"--mnist: {error}")
        failed += _show("784-500-10 on digits", [_classifier_row(*digits, epochs=options.epochs)])
    print(f"\n{len(failed)} rows do not come out as expected")
    return 1 if failed else 0


def _show(title: str, rows: Iterable[Row]) -> list[Row]:
    """Print the rows and return those that do not hold."""
    print(f"\n{title}")
    failed = []
    for row in rows:
        mark = "    " if row.holds else "!!! "
        print(f"{mark}{row.name} | article: {row.said} | here: {row.ours} | {row.verdict}")
        if not row.holds:
            failed.append(row)
    return failed


def _digits(folder: Path | None, count: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    if folder is not None:
        return mnist(folder, "train"), mnist(folder, "t10k")
    return drawn_digits(count, seed=0), drawn_digits(1000, seed=1)


def _classifier_row(
    learnt: tuple[Tensor, Tensor], unseen: tuple[Tensor, Tensor], *, epochs: int
) -> Row:
    torch.manual_seed(0)
    model = small_classifier()
    losses = []
    for epoch, loss in train(model, *learnt, epochs=epochs):
        print(f"    epoch {epoch}: mean loss {loss:.4f}")
        losses.append(loss)
    score = accuracy(model, *unseen)
    return Row(
        name=f"accuracy on {len(unseen[0])} unseen digits after {epochs} epochs",
        said="-",
        ours=f"{score:.1%}",
        holds=score > 2 * CHANCE and losses[-1] <= losses[0],
        verdict="the article prints none",
    )


if __name__ == "__main__":
    sys.exit(main())
