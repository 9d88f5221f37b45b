import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.reading.derive import EPOCHS_RANGE, derive, length_of_run
from configs.reading.load import LoadedExperiment, load_experiment
from data.loading.samplers import TrainPlan
from tests.configs.conftest import Write

Load = Callable[..., LoadedExperiment]
RECIPE = """
train:
  epochs: 100
  nominal_batch: batch
  optimizer: {name: adamw, lr: auto}
  warmup: {bias_lr: auto}
  ema: {decay: auto, ramp_steps: auto, horizon: 4 epochs}
augment: {close_mosaic: 15%}
"""


def numbers(loaded: LoadedExperiment, *, num_images: int, processes: int = 1) -> dict[str, float]:
    derived = derive(loaded, num_images=num_images, processes=processes)
    return {item.key: item.value for item in derived.derived}


def test_by_hand_205_images(load: Load) -> None:
    # 13 batches of 16, a step each; 4 epochs are 52 of 1300 steps.
    assert numbers(load(RECIPE), num_images=205) == {
        "train.nominal_batch": 16,
        "train.optimizer.lr": 0.002,
        "train.warmup.bias_lr": 0.002,
        "augment.close_mosaic": 15,
        "train.ema.decay": pytest.approx(math.exp(-1 / 52)),
        "train.ema.ramp_steps": 65.0,
    }


def test_the_settings_hold_the_numbers_and_their_reasons(load: Load) -> None:
    loaded = derive(load(RECIPE), num_images=205)
    train = loaded.experiment.train
    assert train.nominal_batch == 16
    assert train.ema.decay == pytest.approx(0.980953, abs=1e-6)
    assert loaded.experiment.augment.close_mosaic == 15
    assert loaded.origins["augment.close_mosaic"] == "15%: 15% of 100 epochs"
    assert loaded.origins["train.ema.decay"] == (
        "auto: the average remembers 52 of 1300 steps (4 epochs)"
    )
    loaded.require_derived()


def test_processes_share_the_batches_of_an_epoch(load: Load) -> None:
    # Two processes: 7 joint batches of 32 an epoch.
    found = numbers(load(RECIPE), num_images=205, processes=2)
    assert found["train.nominal_batch"] == 32
    assert found["train.optimizer.lr"] == pytest.approx(0.002 * math.sqrt(2), rel=1e-3)
    assert found["train.ema.decay"] == pytest.approx(math.exp(-1 / 28))


def test_accumulation_makes_fewer_steps(load: Load) -> None:
    loaded = load(RECIPE.replace("nominal_batch: batch", "nominal_batch: 64"))
    found = numbers(loaded, num_images=205)
    assert found["train.ema.decay"] == pytest.approx(math.exp(-1 / 13))  # 4 epochs of 13 / 4 steps
    assert found["train.optimizer.lr"] == 0.004


@pytest.mark.parametrize(
    ("horizon", "steps"),
    [
        ("5", 65),
        ("2.5 epochs", 32.5),
        ("1 epoch", 13),
        ("10%", 130),
        ("200 steps", 200),
        ("1 step", 10),
    ],
)
def test_horizon(load: Load, horizon: str, steps: float) -> None:
    loaded = load(RECIPE.replace("4 epochs", horizon))
    found = numbers(loaded, num_images=205)
    assert found["train.ema.decay"] == pytest.approx(math.exp(-1 / steps))
    assert found["train.ema.ramp_steps"] == pytest.approx(1.25 * steps)


def test_the_horizon_ends_at_the_published_one(load: Load) -> None:
    found = numbers(load(RECIPE), num_images=1_000_000)
    assert found["train.ema.decay"] == pytest.approx(math.exp(-1 / 10_000))


def test_sgd_has_a_rate_of_its_own(load: Load) -> None:
    text = RECIPE.replace("name: adamw", "name: sgd")
    assert numbers(load(text), num_images=205)["train.optimizer.lr"] == 0.0025
    weights = "model: {graph: graph.yaml, weights: some.pt}"
    assert numbers(load(text + weights), num_images=205)["train.optimizer.lr"] == 0.00075


def test_weights_halve_the_rate(load: Load) -> None:
    loaded = load(RECIPE + "model: {graph: graph.yaml, weights: some.pt}")
    assert numbers(loaded, num_images=205)["train.optimizer.lr"] == 0.001


@pytest.mark.parametrize(
    ("num_images", "epochs", "finetuned"),
    [(1, 300, 100), (60, 300, 100), (205, 154, 47), (1000, 32, 15), (118_287, 30, 15)],
)
def test_epochs_follow_from_the_data(
    load: Load, num_images: int, epochs: int, finetuned: int
) -> None:
    text = RECIPE.replace("epochs: 100", "epochs: auto")
    assert numbers(load(text), num_images=num_images)["train.epochs"] == epochs
    loaded = load(text + "model: {graph: graph.yaml, weights: some.pt}")
    assert numbers(loaded, num_images=num_images)["train.epochs"] == finetuned


def test_close_mosaic_counts_the_derived_epochs(load: Load) -> None:
    loaded = derive(load(RECIPE.replace("epochs: 100", "epochs: auto")), num_images=205)
    assert loaded.experiment.train.epochs == 154
    assert loaded.experiment.augment.close_mosaic == 23


def test_what_the_user_states_is_kept(load: Load) -> None:
    stated = ["train.ema.decay=0.5", "augment.close_mosaic=3", "train.optimizer.lr=0.01"]
    loaded = derive(load(RECIPE, stated), num_images=205)
    assert loaded.experiment.train.ema.decay == 0.5
    assert loaded.experiment.augment.close_mosaic == 3
    assert loaded.experiment.train.optimizer.lr == loaded.experiment.train.warmup.bias_lr == 0.01


def test_nothing_to_derive_changes_nothing(load: Load) -> None:
    loaded = load()
    assert derive(loaded, num_images=3).experiment == loaded.experiment


def test_words_are_derived_anew_for_another_run(load: Load, write: Write) -> None:
    first = derive(load(RECIPE), num_images=205)
    write("resolved.yaml", first.to_yaml())
    again = derive(load_experiment("resolved.yaml"), num_images=205)
    assert again.experiment == first.experiment
    longer = derive(load_experiment("resolved.yaml", ["train.epochs=200"]), num_images=205)
    assert longer.experiment.augment.close_mosaic == 30
    assert derive(first, num_images=410).experiment.train.ema.decay == pytest.approx(
        math.exp(-1 / 104)
    )


@settings(max_examples=30)
@given(
    num_images=st.integers(1, 200_000),
    batch=st.integers(1, 128),
    nominal=st.sampled_from(["batch", "64", "1", "4096"]),
    processes=st.integers(1, 16),
    epochs=st.sampled_from(["1", "3", "300", "auto"]),
)
def test_every_run_gets_sane_numbers(
    num_images: int, batch: int, nominal: str, processes: int, epochs: str
) -> None:
    loaded = load_experiment(
        "configs/quickstart.yaml",
        [
            f"train.batch_size={batch}",
            f"train.nominal_batch={nominal}",
            f"train.epochs={epochs}",
            "train.optimizer.lr=auto",
            "train.ema={decay: auto, ramp_steps: auto, horizon: 4%}",
            "augment={mosaic: 1.0, close_mosaic: 15%}",
        ],
    )
    derived = derive(loaded, num_images=num_images, processes=processes)
    train = derived.experiment.train
    plan = TrainPlan(
        num_images=num_images,
        batch_size=batch,
        image_size=64,
        seed=0,
        epochs=train.epochs,
        processes=processes,
    )
    per_step = max(round(train.nominal_batch / (batch * processes)), 1)
    steps = train.epochs * plan.num_batches / per_step
    memory = -1 / math.log(train.ema.decay)
    assert memory <= max(steps / 4, 1.0) + 1e-6
    assert memory >= min(10.0, steps / 4) - 1e-6 or memory == pytest.approx(1.0)
    assert 0 <= derived.experiment.augment.close_mosaic <= train.epochs
    if epochs == "auto":
        low, high = EPOCHS_RANGE[False]
        assert low <= train.epochs <= high


@pytest.mark.parametrize(
    ("text", "num_images", "processes", "lines"),
    [
        (
            "train: {epochs: 100}", 205, 1,
            ["run: 100 epochs of 13 batches, 325 optimizer steps",
             "EMA remembers about 0.527 of 325 steps (0.16 epochs) at the end",
             "note: an average of fewer than 5 steps has no effect; train.ema.decay=auto "
             "train.ema.ramp_steps=auto fits it to the run"],
        ),
        (
            "train: {epochs: 300}", 118_287, 1,
            ["run: 300 epochs of 7,393 batches, 554,475 optimizer steps",
             "EMA remembers about 1e+04 of 554,475 steps (5.4 epochs) at the end"],
        ),
        (
            "train: {epochs: 2, nominal_batch: 32, ema: {decay: 0.99, ramp_steps: 1.0}}", 64, 2,
            ["run: 2 epochs of 2 batches, 4 optimizer steps",
             "EMA remembers about 35 of 4 steps (18 epochs) at the end",
             "note: an average over more than half of the run keeps old weights; "
             "train.ema.decay=auto train.ema.ramp_steps=auto fits it to the run"],
        ),
        (
            "train: {epochs: 2, nominal_batch: 16, ema: {decay: 0}}", 64, 1,
            ["run: 2 epochs of 4 batches, 8 optimizer steps"],
        ),
    ],
)  # fmt: skip
def test_length_of_run(
    load: Load, text: str, num_images: int, processes: int, lines: list[str]
) -> None:
    experiment = load(text).experiment
    found = list(length_of_run(experiment, num_images=num_images, processes=processes))
    assert found == lines


def test_an_average_that_the_run_derived_needs_no_note(load: Load) -> None:
    loaded = derive(load("train: {epochs: 1, ema: {decay: auto, ramp_steps: auto}}"), num_images=8)
    stated = list(length_of_run(loaded.experiment, num_images=8))
    fitted = list(length_of_run(loaded.experiment, num_images=8, is_fitted=True))
    assert stated[0] == "run: 1 epoch of 1 batch, 0 optimizer steps"
    assert stated[1] == (
        "note: not one step of train.nominal_batch=64 images; train.nominal_batch=16 makes a step "
        "of every batch"
    )
    assert len(stated) == 4
    assert fitted == stated[:3]
