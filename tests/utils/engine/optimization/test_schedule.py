import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.train import (
    AdamSettings,
    ConstantSchedule,
    DecaySchedule,
    FlatCosineSchedule,
    TrainSettings,
    WarmupSettings,
)
from utils.engine.optimization.schedule import RateSchedule, lr_factor

LINEAR = DecaySchedule(name="linear", final=0.01)
COSINE = DecaySchedule(name="cosine", final=0.01)
FLAT_COSINE = FlatCosineSchedule(name="flat_cosine")


@pytest.mark.parametrize(
    ("schedule", "epoch", "expected"),
    [
        (LINEAR, 0, 1.0),
        (LINEAR, 1, 0.9901),
        (LINEAR, 50, 0.505),
        (LINEAR, 99, 0.0199),
        (COSINE, 0, 1.0),
        (COSINE, 1, 0.999756),
        (COSINE, 99, 0.010244),
        (ConstantSchedule(name="constant"), 99, 1.0),
    ],
)
def test_factor_equals_the_published_values(
    schedule: DecaySchedule | ConstantSchedule, epoch: int, expected: float
) -> None:
    assert lr_factor(epoch, epochs=100, schedule=schedule) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("epoch", "lr"), [(0, 0.004), (149, 0.004), (225, 0.0021), (299, 0.000200417)]
)
def test_flat_cosine_equals_rtmdet_s_schedule(epoch: int, lr: float) -> None:
    factor = lr_factor(epoch, epochs=300, schedule=FLAT_COSINE)
    assert 0.004 * factor == pytest.approx(lr, abs=5e-10)


def test_flat_cosine_without_a_flat_part_is_cosine() -> None:
    plain = FlatCosineSchedule(name="flat_cosine", flat=0.0, final=0.01)
    for epoch in range(100):
        expected = lr_factor(epoch, epochs=100, schedule=COSINE)
        assert lr_factor(epoch, epochs=100, schedule=plain) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.5, 100), (0.1, 39), (1.0, 100)])
def test_warm_up_takes_at_most_its_share_of_the_run(share: float, expected: int) -> None:
    warmup = WarmupSettings(epochs=3.0, min_iterations=100, max_share=share)
    assert schedule(13, epochs=30, warmup=warmup).warmup_iterations == expected


def schedule(batches: int = 50, **changes: object) -> RateSchedule:
    return RateSchedule(settings=TrainSettings(**changes), batches_per_epoch=batches)


def test_warmup_by_hand() -> None:
    # 3 epochs of 50 batches: 150 iterations; 16 images a batch, 64 a step.
    rates = schedule(epochs=100)
    start, middle, end = rates.at(0), rates.at(75), rates.at(150)
    assert (start.lr, start.bias_lr, start.momentum, start.accumulate) == (0.0, 0.1, 0.8, 1)
    lr = 0.01 * (0.99 * (1 - 1 / 100) + 0.01)  # iteration 75 is in epoch 1
    assert middle.lr == pytest.approx(lr / 2)
    assert middle.bias_lr == pytest.approx((0.1 + lr) / 2)
    assert middle.momentum == pytest.approx((0.8 + 0.937) / 2)
    assert middle.accumulate == 2  # halfway from 1 to 4, 2.5, rounds to even
    assert end.lr == end.bias_lr == pytest.approx(0.01 * (0.99 * 0.97 + 0.01))
    assert (end.momentum, end.accumulate) == (0.937, 4)


@pytest.mark.parametrize(
    ("epochs", "batches", "warmup", "expected"),
    [
        (100, 50, {}, 150),  # three epochs
        (100, 13, {}, 100),  # the least number of iterations
        (10, 13, {}, 65),  # half of the training
        (1, 1, {}, 0),
        (100, 10, {"epochs": 2.56, "min_iterations": 0}, 26),
        (100, 50, {"epochs": 0.0}, 0),  # switched off, whatever the least number
    ],
)
def test_warmup_length(epochs: int, batches: int, warmup: dict[str, float], expected: int) -> None:
    rates = schedule(batches, epochs=epochs, warmup=WarmupSettings(**warmup))
    assert rates.warmup_iterations == expected


def test_without_warmup_the_first_iteration_has_full_rates() -> None:
    rates = schedule(warmup=WarmupSettings(epochs=0.0)).at(0)
    assert (rates.lr, rates.bias_lr, rates.momentum, rates.accumulate) == (0.01, 0.01, 0.937, 4)


def test_momentum_of_adam_is_beta1() -> None:
    rates = schedule(optimizer=AdamSettings(name="adam", beta1=0.91), epochs=10)
    assert rates.at(499).momentum == 0.91


@pytest.mark.parametrize(
    ("batch_size", "nominal", "expected"), [(64, 64, 1), (128, 64, 1), (24, 64, 3), (1, 64, 64)]
)
def test_accumulation_reaches_the_nominal_batch(
    batch_size: int, nominal: int, expected: int
) -> None:
    rates = schedule(batch_size=batch_size, nominal_batch=nominal, epochs=10)
    assert rates.at(499).accumulate == expected


@given(
    st.integers(1, 300),
    st.integers(1, 60),
    st.sampled_from([LINEAR, COSINE]),
    st.integers(1, 128),
)
def test_rates_stay_in_range(
    epochs: int, batches: int, decay: DecaySchedule, batch_size: int
) -> None:
    rates = schedule(batches, epochs=epochs, schedule=decay, batch_size=batch_size)
    previous = math.inf
    for iteration in range(0, epochs * batches, max(1, epochs * batches // 40)):
        now = rates.at(iteration)
        assert 0 <= now.lr <= 0.01
        assert 0 <= now.bias_lr <= 0.1
        assert 0.8 <= now.momentum <= 0.937
        assert 1 <= now.accumulate <= max(round(64 / batch_size), 1)
        if iteration >= rates.warmup_iterations:
            assert now.lr == now.bias_lr <= previous
            previous = now.lr
