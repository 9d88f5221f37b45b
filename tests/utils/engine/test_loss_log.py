import math

import pytest
import torch

from utils.engine.loss_log import LossLog, NotFiniteError, require_finite_state
from utils.runtime.errors import UserError
from utils.structures.loss_terms import LossTerms

CPU = torch.device("cpu")


def terms(box: float, foreground: int = 2, size: int = 4) -> LossTerms:
    values = {"box": box, "objectness": box * 2, "classification": 0.0}
    return LossTerms.of(
        {name: torch.tensor(value) for name, value in values.items()},
        num_foreground=torch.tensor(foreground),
        batch_size=size,
    )


def test_means_weigh_batches_by_images() -> None:
    log = LossLog(CPU)
    log.add(terms(1.0, foreground=10, size=4), epoch=1, batch=1)
    log.add(terms(4.0, foreground=0, size=2), epoch=1, batch=2)
    expected = {"box": 2.0, "objectness": 4.0, "classification": 0.0, "foreground": 10 / 6}
    assert log.means() == pytest.approx(expected)
    log.reset()
    assert log.means() == dict.fromkeys(expected, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_bad_loss_names_place_and_terms(bad: float) -> None:
    log = LossLog(CPU)
    log.add(terms(1.0), epoch=3, batch=7)
    with pytest.raises(NotFiniteError, match=f"box={bad}, objectness={bad}.* at epoch 3, batch 8"):
        log.add(terms(bad), epoch=3, batch=8)
    assert issubclass(NotFiniteError, UserError)
    assert issubclass(NotFiniteError, FloatingPointError)


def test_a_device_is_asked_rarely_and_the_first_bad_batch_is_named() -> None:
    log = LossLog(torch.device("cuda:0"))  # only decides how often to read
    log.add(terms(1.0), epoch=1, batch=1)
    log.add(terms(math.nan), epoch=1, batch=2)
    log.add(terms(math.nan), epoch=1, batch=3)
    assert log.images == 0
    with pytest.raises(NotFiniteError, match=r"batch 2$"):
        log.read()
    fine = LossLog(torch.device("cuda:0"))
    for batch in range(25):
        fine.add(terms(1.0), epoch=1, batch=batch)
    assert fine.images == 20 * 4
    fine.read()
    assert fine.images == 25 * 4


def test_state_restores_a_begun_epoch() -> None:
    first, second = LossLog(CPU), LossLog(CPU)
    first.add(terms(0.1, size=3), epoch=1, batch=1)
    second.load_state(first.state())
    for log in (first, second):
        log.add(terms(0.7), epoch=1, batch=2)
    assert first.means() == second.means()


def test_saved_state_does_not_follow_later_batches() -> None:
    log = LossLog(CPU)
    log.add(terms(1.0), epoch=1, batch=1)
    state = log.state()
    log.add(terms(1.0), epoch=1, batch=2)
    assert state["sums"]["box"] == 4.0


def test_bad_weight_is_named() -> None:
    good = {"weight": torch.ones(2, 2), "count": torch.tensor(3)}
    require_finite_state(good, place="here")
    require_finite_state({}, place="here")
    for bad in (math.nan, -math.inf):
        with pytest.raises(NotFiniteError, match="bias is not finite at epoch 1"):
            require_finite_state({**good, "bias": torch.tensor([0.0, bad])}, place="epoch 1")
