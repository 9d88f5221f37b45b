"""A training small enough to be followed by hand: 8 channels, 8 x 8 pixels, any criterion."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from configs.schema.train import EmaSettings, TrainSettings, WarmupSettings
from utils.engine.hook import Hook
from utils.engine.hooks.checkpoints import BestWeights, PeriodicCheckpoints
from utils.engine.hooks.console import Console
from utils.engine.hooks.csv_history import CsvHistory
from utils.engine.hooks.early_stopping import EarlyStopping
from utils.engine.hooks.loss_budget import LossBudgetLog, MeasureBudget
from utils.engine.hooks.tensorboard import TensorBoard
from utils.engine.learner import Learner
from utils.engine.optimization.layer_rules import LayerRules
from utils.engine.protocols import Criterion, Evaluate
from utils.engine.trainer import Trainer
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.machine.thread_trials import FixedThreads
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageMeta
from utils.structures.loss_terms import LossTerms
from utils.structures.results import EvalResult

BATCHES = 5
CPU = torch.device("cpu")


class ToyModel(nn.Module):
    """Two convolutions, batch norm, dropout (a random number per step) and a linear head."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.second(torch.relu(self.norm(self.first(images))))
        return self.head(self.dropout(features.mean((2, 3))))


def toy_criterion(predictions: Tensor, targets: Targets) -> LossTerms:
    predictions = predictions.float()
    wanted = targets.boxes[:, 0] / 8
    error = (predictions[:, 0] - wanted).square().mean()
    return LossTerms.of(
        {
            "box": error,
            "objectness": predictions[:, 1].square().mean(),
            "classification": predictions[:, 2].abs().mean(),
        },
        num_foreground=torch.tensor(len(targets)),
        batch_size=len(predictions),
    )


def toy_batch(key: int, size: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(key)
    images = torch.randint(0, 256, (size, 3, 8, 8), dtype=torch.uint8, generator=generator)
    boxes = torch.rand(size, 4, generator=generator) * 8
    meta = ImageMeta(path="x", image_id=0, original_size=(8, 8), scale=(1.0, 1.0), pad=(0, 0))
    targets = Targets(
        boxes=boxes,
        labels=torch.zeros(size, dtype=torch.int64),
        image_index=torch.arange(size),
    )
    return Batch(images=images, targets=targets, metas=(meta,) * size)


@dataclass
class ToyBatches:
    """The last batch is smaller; `before_batch` is called with (epoch, batch) before each."""

    before_batch: Callable[[int, int], None] = lambda epoch, batch: None
    batches: int = BATCHES

    def __len__(self) -> int:
        return self.batches

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        torch.rand(1)  # as a DataLoader does when it begins: must not matter to a resumed run
        for batch in range(start, self.batches):
            self.before_batch(epoch, batch)
            yield toy_batch(epoch * 1000 + batch, 3 if batch == self.batches - 1 else 4)


def eval_result(map50_95: float) -> EvalResult:
    return EvalResult(
        map50_95=map50_95,
        map50=map50_95,
        map75=map50_95,
        by_size={},
        average_recall={},
        per_class={},
        operating_points={
            "best_f1": {"threshold": 0.5, "precision": 0.5, "recall": 0.25, "f1": 1 / 3}
        },
        confusion=((0,),),
        counts={},
    )


@dataclass
class ToyEvaluation:
    """A score that depends on every weight: what is resumed wrongly scores differently."""

    scores: list[float] = field(default_factory=list)

    def __call__(self, model: nn.Module) -> EvalResult:
        assert not model.training
        torch.rand(3)  # whatever evaluation draws must not matter
        with torch.no_grad():
            outputs = model(toy_batch(99).pixels())
        self.scores.append(float(outputs.double().sigmoid().mean()))
        return eval_result(self.scores[-1])


def toy_settings(**changes: Any) -> TrainSettings:
    values: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 4,
        "nominal_batch": 8,
        "warmup": WarmupSettings(epochs=1.0, min_iterations=0),
        "ema": EmaSettings(decay=0.9, ramp_steps=5.0),
        "workers": 0,
        "device": "cpu",
        "precision": "float32",  # equalities hold to its digits, not to those of bf16
        **changes,
    }
    return TrainSettings(**values)


@dataclass(kw_only=True)
class ToyParts:
    """What a toy training is made of, beside its settings."""

    model: nn.Module
    criterion: Criterion = toy_criterion
    batches: ToyBatches = field(default_factory=ToyBatches)
    evaluate: Evaluate | None = field(default_factory=ToyEvaluation)
    eval_interval: int = 1
    evaluates_start: bool = False
    observe: Callable[[Batch, int], None] | None = None
    checkpoint_minutes: float = 10.0
    rules: LayerRules = field(default_factory=LayerRules)
    measure_budget: MeasureBudget | None = None
    budget_interval: int = 50
    threads: FixedThreads = field(default_factory=FixedThreads)
    hooks: Sequence[Hook] = ()
    """Called before those that write files."""

    def trainer(self, path: Path, settings: TrainSettings) -> Trainer:
        folder, batches = RunFolder(path), len(self.batches)
        budget = None
        if self.measure_budget is not None and self.budget_interval:
            budget = LossBudgetLog(
                self.measure_budget,
                interval=self.budget_interval,
                batches_per_epoch=batches,
                epochs=settings.epochs,
                folder=folder,
            )
        hooks = [
            BestWeights({"class_names": ["a", "b"]}),
            budget,
            EarlyStopping(settings.patience) if settings.patience else None,
            *self.hooks,
            CsvHistory(folder.metrics),
            TensorBoard(folder.events) if settings.tensorboard else None,
            Console(),
            PeriodicCheckpoints(self.checkpoint_minutes),
        ]
        learner = Learner(
            self.model,
            self.criterion,
            settings,
            batches_per_epoch=batches,
            device=CPU,
            rules=self.rules,
            observe=budget.observe if budget else None,
        )
        return Trainer(
            learner=learner,
            batches=self.batches,
            evaluate=self.evaluate,
            folder=folder,
            hooks=[hook for hook in hooks if hook is not None],
            eval_interval=self.eval_interval,
            evaluates_start=self.evaluates_start,
            observe=self.observe,
            threads=self.threads,
        )


def toy_trainer(path: Path, *, seed: int = 0, **changes: Any) -> Trainer:
    """Build a trainer in `path`; `changes` are fields of ToyParts or of TrainSettings."""
    path.mkdir(exist_ok=True)
    parts: dict[str, Any] = {"model": ToyModel(seed)}
    for name in [name for name in changes if name in ToyParts.__dataclass_fields__]:
        parts[name] = changes.pop(name)
    return ToyParts(**parts).trainer(path, toy_settings(**changes))
