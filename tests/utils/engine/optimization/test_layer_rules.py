"""What shall not learn does not move, down to the last bit; what shall, moves at its own rate."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from configs.schema.train import AdamWSettings, SgdSettings
from tests.utils.engine.toy import (
    BATCHES,
    ToyModel,
    toy_batch,
    toy_criterion,
    toy_settings,
    toy_trainer,
)
from utils.checkpoint.weights import load_weights
from utils.engine.learner import Learner
from utils.engine.optimization.layer_rules import LayerControl, LayerRules
from utils.engine.optimization.optimizer import build_optimizer, set_rates
from utils.engine.optimization.schedule import Rates

NORM = ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var",
        "norm.num_batches_tracked")  # fmt: skip
FROZEN = frozenset({"first.weight", *NORM})
HEAD = frozenset({"head.weight", "head.bias"})


def values(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("optimizer", [SgdSettings(), AdamWSettings(name="adamw")])
def test_frozen_layers_and_their_statistics_stay_in_network_and_average(
    optimizer: Any, tmp_path: Path
) -> None:
    trainer = toy_trainer(tmp_path, optimizer=optimizer, rules=LayerRules(frozen=FROZEN))
    before = values(trainer.learner.model)
    trainer.run()
    after, average = values(trainer.learner.model), values(trainer.learner.average.model)
    assert changed(before, after) == before.keys() - FROZEN
    assert changed(before, average) == before.keys() - FROZEN
    saved, _ = load_weights(tmp_path / "best.safetensors")
    for name in FROZEN:
        assert torch.equal(saved[name], before[name])


def test_a_frozen_norm_stays_still_whoever_calls_train() -> None:
    model = ToyModel()
    control = LayerControl(model, LayerRules(frozen=FROZEN))
    model.train()
    control.prepare(is_head_warmup=False)
    assert not model.norm.training
    assert model.dropout.training
    assert not model.norm.weight.requires_grad


def test_freezing_parameters_of_a_norm_alone_leaves_its_statistics_alone(tmp_path: Path) -> None:
    frozen = frozenset({"norm.weight", "norm.bias"})
    trainer = toy_trainer(tmp_path, rules=LayerRules(frozen=frozen))
    before = values(trainer.learner.model)
    trainer.run()
    assert changed(before, values(trainer.learner.model)) == before.keys() - frozen


def test_optimizer_does_not_hold_what_is_frozen() -> None:
    model = ToyModel()
    LayerControl(model, LayerRules(frozen=FROZEN))
    groups = build_optimizer(model, toy_settings()).param_groups
    held = {id(p) for group in groups for p in group["params"]}
    assert held == {id(p) for name, p in model.named_parameters() if name not in FROZEN}


def test_rates_are_multiplied_and_groups_stay_a_partition() -> None:
    model = ToyModel()
    factors = {"first.weight": 0.1, "second.weight": 0.1, "second.bias": 0.5}
    optimizer = build_optimizer(model, toy_settings(), factors)
    set_rates(optimizer, Rates(lr=0.2, bias_lr=0.4, momentum=0.5, accumulate=1))
    names = {id(p): name for name, p in model.named_parameters()}
    rates = {
        names[id(p)]: (group["lr"], group["weight_decay"] > 0)
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)
    assert rates == {
        "first.weight": (pytest.approx(0.02), True),
        "second.weight": (pytest.approx(0.02), True),
        "second.bias": (pytest.approx(0.2), False),
        "norm.weight": (0.2, False),
        "norm.bias": (0.4, False),
        "head.weight": (0.2, True),
        "head.bias": (0.4, False),
    }


def test_new_head_learns_alone_first_then_all(tmp_path: Path) -> None:
    learner = Learner(
        ToyModel(), toy_criterion, toy_settings(head_warmup=1.0, nominal_batch=4),
        batches_per_epoch=3, device=torch.device("cpu"), rules=LayerRules(fresh=HEAD),
    )  # fmt: skip
    learner.model.train()
    before = values(learner.model)
    for iteration in range(3):
        learner.learn(toy_batch(iteration), iteration)
    assert changed(before, values(learner.model)) == HEAD
    assert changed(before, values(learner.average.model)) == HEAD
    learner.learn(toy_batch(3), 3)
    assert changed(before, values(learner.model)) == before.keys()
    assert learner.model.norm.training


@pytest.mark.slow
@pytest.mark.parametrize("position", [2, BATCHES + 1])
def test_resume_knows_which_tensors_were_new(position: int, tmp_path: Path) -> None:
    """The weights that a training began with may be gone when it is resumed."""
    from tests.utils.engine.test_resume import KilledError, dies_before, outcome

    settings: dict[str, Any] = {"head_warmup": 1.4, "nominal_batch": 8}
    rules = LayerRules(fresh=HEAD, frozen=frozenset({"first.weight"}), lr_factors={"head.bias": 2})
    straight = toy_trainer(tmp_path / "straight", rules=rules, **settings)
    straight.run()
    path = tmp_path / "killed"
    with pytest.raises(KilledError):
        toy_trainer(
            path, rules=rules, batches=dies_before(divmod(position, BATCHES)),
            checkpoint_minutes=1e-9, **settings,
        ).run()  # fmt: skip
    resumed = toy_trainer(
        path, seed=7, rules=LayerRules(frozen=rules.frozen, lr_factors=rules.lr_factors), **settings
    )
    resumed.resume()
    resumed.run()
    assert outcome(path, resumed) == outcome(tmp_path / "straight", straight)
