"""The columns of metrics.csv, which a training run writes and reports read."""

from collections.abc import Iterable

BEFORE_TERMS = ("epoch", "step", "lr")
"""epoch counts from 1, 0 is the evaluation before training, whose row has nothing else; step:
optimizer steps so far; lr: in the epoch's last batch. Between these and `AFTER_TERMS` stand the
terms of the loss under the names that the criterion gives them: gains applied, mean over images."""

VALIDATION = "val_"
"""What the names of the terms begin with that were computed on the validation images; they stand
before `FROM_EVALUATION`, and only where `eval.loss` has them computed."""

FROM_EVALUATION = ("map50_95", "map50", "map75", "precision", "recall")
"""Empty where the epoch was not validated; precision and recall at the best F1."""

AFTER_TERMS = ("foreground", "images_per_second", "seconds", *FROM_EVALUATION)
"""foreground: matches per image; seconds: training time of the epoch, without validation."""


def term_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Return those of the columns of a metrics.csv, in their order, that are terms of the loss."""
    others = (*BEFORE_TERMS, *AFTER_TERMS)
    return tuple(n for n in columns if n not in others and not n.startswith(VALIDATION))


def validation_columns(columns: Iterable[str]) -> tuple[str, ...]:
    """Return those of the columns, in their order, that are terms on the validation images."""
    return tuple(name for name in columns if name.startswith(VALIDATION))


def joined_columns(rows: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """Return the columns of all rows, each behind the one it follows in its first row.

    Rows differ where a training run was resumed with another loss.
    """
    columns: list[str] = []
    for names in dict.fromkeys(tuple(row) for row in rows):
        place = 0
        for name in names:
            if name in columns:
                place = columns.index(name) + 1
            else:
                columns.insert(place, name)
                place += 1
    return tuple(columns)
