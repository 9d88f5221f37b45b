"""Several processes learn what one with all their images learns, and judge what it judges."""

from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from configs.schema.loss import LossSettings
from configs.schema.train import SgdSettings, TrainSettings, WarmupSettings
from models.blocks.joint_norm import join_norms
from models.losses import build_criterion
from tests.models.factories import tiny_detector
from tests.processes import in_processes
from tests.utils.metrics.problems import random_problem
from utils.engine.learner import Learner
from utils.engine.loss_log import NotFiniteError
from utils.engine.optimization.layer_rules import LayerRules
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageMeta
from utils.structures.loss_terms import LossTerms

SIDE = 32
STEPS = 5
PROCESSES = 2
NORMS = frozenset(n for n in tiny_detector().state_dict() if ".bn." in n)
FOCAL = {"name": "focal", "gamma": 1.5, "alpha": None}


def batch(key: int, images: int = 4) -> Batch:
    rng = torch.Generator().manual_seed(key)
    # All boxes in the first images: the processes have very different numbers of matches.
    count = 7
    corners = torch.rand(count, 2, generator=rng) * 16
    sizes = 4 + torch.rand(count, 2, generator=rng) * 12
    meta = ImageMeta(path="x", image_id=0, original_size=(SIDE, SIDE), scale=(1.0, 1.0), pad=(0, 0))
    return Batch(
        images=torch.randint(0, 256, (images, 3, SIDE, SIDE), dtype=torch.uint8, generator=rng),
        targets=Targets(
            boxes=torch.cat([corners, corners + sizes], dim=1),
            labels=torch.randint(0, 3, (count,), generator=rng),
            image_index=torch.tensor([0, 0, 0, 0, 0, 1, 2]),
        ),
        metas=(meta,) * images,
    )


def learner(ranks: Ranks, loss: dict[str, Any], *, joint: bool, accumulate: int = 1) -> Learner:
    settings = TrainSettings(
        batch_size=4 // ranks.size,
        nominal_batch=4 * accumulate,
        epochs=100,
        optimizer=SgdSettings(lr=0.01),
        precision="float32",
        warmup=WarmupSettings(epochs=0),
        sync_batchnorm=joint,
    )
    detector = tiny_detector()
    if joint:
        join_norms(detector)
    criterion = build_criterion(
        LossSettings.model_validate(loss), num_classes=3, num_levels=2, image_size=SIDE
    )
    return Learner(
        detector,
        criterion,
        settings,
        batches_per_epoch=10,
        device=torch.device("cpu"),
        rules=LayerRules() if joint else LayerRules(frozen=NORMS),
        ranks=ranks,
    )


def trained(
    ranks: Ranks, loss: dict[str, Any], *, joint: bool, accumulate: int = 1
) -> dict[str, Any]:
    subject = learner(ranks, loss, joint=joint, accumulate=accumulate)
    subject.model.train()
    losses = []
    for step in range(STEPS):
        own = batch(step).split(ranks.size)[ranks.rank]
        terms = subject.learn(own, step)
        assert terms is not None
        values = (*terms.values, terms.num_foreground)
        losses.append([float(value.detach()) for value in values])
    state = {**subject.model.state_dict(), **subject.criterion_state()}
    return {
        "weights": {name: value.tolist() for name, value in state.items()},
        "losses": losses,
        "gradients": {n: g.tolist() for n, g in subject.gradients.waiting().items()},
    }


def assert_equal(joint: dict[str, Any], alone: dict[str, Any]) -> None:
    for kind in ("weights", "gradients"):
        assert joint[kind].keys() == alone[kind].keys()
        for name, value in alone[kind].items():
            np.testing.assert_allclose(joint[kind][name], value, rtol=0, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(joint["losses"], alone["losses"], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "joint"),
    [
        ({}, True),
        ({}, False),
        (
            {
                "objectness": {**FOCAL, "normalizer": "positives"},
                "box": {"name": "giou", "normalizer": "positives"},
            },
            True,
        ),
        ({"objectness": {**FOCAL, "normalizer": "ema_positives"}}, False),
        ({"classification": {"name": "ghm"}}, True),
    ],
    ids=[
        "means, joint norms",
        "means, norms in evaluation",
        "positives",
        "average of positives",
        "histogram",
    ],
)
def test_two_processes_learn_what_one_with_both_batches_learns(
    loss: dict[str, Any], joint: bool
) -> None:
    work = partial(trained, loss=loss, joint=joint)
    first, second = in_processes(PROCESSES, work)
    assert first == second
    assert_equal(first, work(ALONE))


@pytest.mark.slow
def test_gradients_that_wait_for_more_batches_are_joint_ones() -> None:
    work = partial(trained, loss={}, joint=True, accumulate=3)
    first, _ = in_processes(PROCESSES, work)
    alone = work(ALONE)
    assert alone["gradients"]
    assert_equal(first, alone)


def after_head_warmup(ranks: Ranks) -> list[float]:
    """Other parameters learn in the middle of a training."""
    subject = learner(ranks, {}, joint=False)
    subject.model.train()
    everything = subject.layers.rules
    head = frozenset(n for n in subject.model.state_dict() if not n.startswith("model.4"))
    for step in range(4):
        subject.layers.use(LayerRules(frozen=head) if step < 2 else everything)
        subject.learn(batch(step).split(ranks.size)[ranks.rank], step)
    return [float(value.double().sum()) for value in subject.model.state_dict().values()]


@pytest.mark.slow
def test_layers_may_begin_to_learn_later() -> None:
    first, second = in_processes(PROCESSES, after_head_warmup)
    assert first == second
    np.testing.assert_allclose(first, after_head_warmup(ALONE), atol=1e-4)


def not_finite(ranks: Ranks) -> str:
    """Only the last process has a loss that is NaN; all of them must stop, not wait."""
    subject = learner(ranks, {}, joint=False)
    subject.model.train()
    healthy = subject.criterion
    factor = torch.nan if ranks.rank == ranks.size - 1 else 1.0

    def criterion(predictions: Any, targets: Targets) -> LossTerms:
        terms = healthy(predictions, targets)
        return replace(terms, values=tuple(value * factor for value in terms.values))

    subject.criterion = criterion
    try:
        subject.learn(batch(0).split(ranks.size)[ranks.rank], 0)
    except NotFiniteError as error:
        return str(error)
    return "went on"


def test_a_loss_that_is_not_finite_in_one_process_stops_all() -> None:
    answers = in_processes(PROCESSES, not_finite)
    assert all("not finite" in answer for answer in answers)


def judged(ranks: Ranks, *, twice: bool = False) -> dict[str, Any]:
    problem = random_problem(3, num_images=13, per_image=9, num_classes=3)
    # hotcoco's threads, if an earlier test has started them, do not live on in a forked process.
    evaluator = problem.evaluator(judge="pycocotools")
    evaluator.reset()
    found = list(zip(problem.truths, problem.found, strict=True))
    for truth, detections in found[:3] if twice else found[ranks.rank :: ranks.size]:
        evaluator.update([truth.image_id], [detections], at_detection_cap=[True])
    if ranks.size > 1:
        evaluator.join(ranks.gather)
    return asdict(evaluator.compute())


@pytest.mark.slow
def test_evaluation_in_three_processes_gives_the_numbers_of_one() -> None:
    alone = judged(ALONE)
    assert alone["map50_95"] > 0
    for result in in_processes(3, judged):
        assert result == alone


def test_an_image_in_two_processes_is_a_mistake() -> None:
    with pytest.raises(AssertionError, match="was given twice"):
        in_processes(2, partial(judged, twice=True))


def agreement(ranks: Ranks) -> dict[str, Any]:
    order: list[str] = []
    with ranks.main_first("reading"):
        order.append("read")
    model = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(model.weight, ranks.rank)
    ranks.copy_from_main(model)
    return {
        "any": [ranks.any(False), ranks.any(ranks.rank == 1)],
        "gather": ranks.gather(ranks.rank * 10),
        "from_main": ranks.from_main({"who": ranks.rank}),
        "sum": ranks.sum(torch.tensor([1.0, float(ranks.rank)])).tolist(),
        "copied": model.weight.tolist(),
        "is_main": ranks.is_main,
    }


def test_processes_agree() -> None:
    first, second = in_processes(2, agreement)
    for answer in (first, second):
        assert answer["any"] == [False, True]
        assert answer["gather"] == [0, 10]
        assert answer["from_main"] == {"who": 0}
        assert answer["sum"] == [2.0, 1.0]
        assert answer["copied"] == [[0.0, 0.0]]
    assert first["is_main"]
    assert not second["is_main"]


def test_a_process_alone_agrees_with_itself() -> None:
    assert ALONE.any(True)
    assert not ALONE.any(False)
    assert ALONE.gather(3) == [3]
    assert ALONE.from_main(3) == 3
