from utils.engine.stopping import EarlyStopping


def run(patience: int, scores: list[float]) -> tuple[list[bool], int | None]:
    """Return which epochs were best and after which one training stops."""
    stopping = EarlyStopping(patience)
    best = []
    for epoch, score in enumerate(scores):
        best.append(stopping.is_best(epoch, score))
        if stopping.should_stop:
            return best, epoch
    return best, None


def test_stops_when_patience_epochs_brought_nothing_better() -> None:
    assert run(2, [0.1, 0.3, 0.3, 0.2, 0.9]) == ([True, True, False, False], 3)


def test_first_score_is_best_even_if_zero() -> None:
    assert run(3, [0.0, 0.0]) == ([True, False], None)


def test_patience_zero_never_stops() -> None:
    assert run(0, [0.5] + [0.1] * 50)[1] is None


def test_patience_counts_epochs_not_validations() -> None:
    stopping = EarlyStopping(10)
    assert stopping.is_best(4, 0.5)
    assert not stopping.is_best(9, 0.4)
    assert not stopping.should_stop
    assert not stopping.is_best(14, 0.4)
    assert stopping.should_stop


def test_state_restores_the_memory() -> None:
    first, second = EarlyStopping(2), EarlyStopping(2)
    first.is_best(0, 0.5)
    first.is_best(1, 0.4)
    second.load_state(first.state())
    assert not second.should_stop
    assert not second.is_best(2, 0.5)
    assert second.should_stop
    assert second.best_epoch == 0
