"""Checkpoints in the pickled form of other projects, written without those projects.

Their classes exist while a file is written and are gone when it is read.
"""

import sys
import types
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

HISTORY = "mmengine.logging.history_buffer"
CLASSES = {
    HISTORY: ["HistoryBuffer"],
    "mmengine.config.config": ["ConfigDict"],
    "omegaconf.dictconfig": ["DictConfig"],
    "omegaconf.base": ["ContainerMetadata", "Metadata"],
    "omegaconf.nodes": ["AnyNode"],
    "yolo.config.config": ["Config", "TrainConfig"],
}


@contextmanager
def foreign_classes() -> Iterator[dict[str, type]]:
    """Give the classes by name, importable as long as the block lasts."""
    made: dict[str, type] = {}
    before = dict(sys.modules)
    for path, names in CLASSES.items():
        parts = path.split(".")
        for end in range(1, len(parts) + 1):
            sys.modules.setdefault(".".join(parts[:end]), types.ModuleType(parts[end - 1]))
        for name in names:
            base = dict if name == "ConfigDict" else object
            made[name] = type(name, (base,), {"__module__": path, "min": _method(path, name)})
            setattr(sys.modules[path], name, made[name])
    try:
        yield made
    finally:
        for path in sys.modules.keys() - before.keys():
            if path.split(".")[0] in ("mmengine", "omegaconf", "yolo"):
                del sys.modules[path]


def _method(path: str, name: str) -> Any:
    def smallest(self: Any) -> float:
        return 0.0

    smallest.__module__, smallest.__qualname__, smallest.__name__ = path, f"{name}.min", "min"
    return smallest


def write_mmengine(
    path: Path, state: Mapping[str, Tensor], *, names: Any = None, ema: Any = None, **extra: Any
) -> Path:
    """Write what MMDetection saves in training: histories, optimizer, average, meta data."""
    with foreign_classes() as made:
        buffer = made["HistoryBuffer"]()
        buffer.__dict__.update(
            _log_history=np.array([1.5, 0.5]),
            _count_history=np.array([1, 1]),
            _max_length=1000000,
            _statistics_methods={"min": made["HistoryBuffer"].min},  # type: ignore[attr-defined]
        )
        config = made["ConfigDict"](type="AdamW", lr=0.004)  # type: ignore[call-arg]
        content: dict[str, Any] = {
            "meta": {
                "epoch": 300,
                "iter": np.int64(88_700),
                "cfg": "model = dict(type='RTMDet')",
                "dataset_meta": {"CLASSES": names} if names else {},
                "mmengine_version": "0.4.0",
            },
            "state_dict": OrderedDict(state),
            "message_hub": {
                "log_scalars": OrderedDict({"train/loss": buffer}),
                "runtime_info": OrderedDict(iter=88_700, cfg=config),
                "resumed_keys": OrderedDict(),
            },
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1}]},
            "param_schedulers": [{"last_step": 3, "_get_lr_called_within_step": False}],
        }
        if ema is not None:
            content["ema_state_dict"] = OrderedDict(
                {"steps": torch.tensor(7), **{f"module.{k}": v for k, v in ema.items()}}
            )
        torch.save({**content, **extra}, path)
    return path


def write_lightning(
    path: Path, state: Mapping[str, Tensor], *, ema: Any = None, **extra: Any
) -> Path:
    """Write what lightning saves of MultimediaTechLab's YOLO: prefixes and hyper-parameters."""
    with foreign_classes() as made:
        settings, metadata, node = (
            made[n]() for n in ("DictConfig", "ContainerMetadata", "AnyNode")
        )
        node.__dict__.update(_val=640, _metadata=made["Metadata"](), _parent=settings)
        metadata.__dict__.update(
            ref_type=Any, object_type=dict, key_type=str, element_type=int, optional=True
        )
        settings.__dict__.update(
            _metadata=metadata, _content={"image_size": node, "weight": Path("weights/v9-t.pt")}
        )
        task = made["TrainConfig"]()
        task.__dict__.update(epochs=500, data=defaultdict(list, batch=[16]))
        config = made["Config"]()
        config.__dict__.update(task=task, dataset=settings)
        weights = {f"model.model.{name}": tensor for name, tensor in state.items()}
        weights |= {f"ema.model.{name}": tensor for name, tensor in (ema or {}).items()}
        content = {
            "epoch": 3,
            "global_step": 400,
            "pytorch-lightning_version": "2.4.0",
            "state_dict": OrderedDict(weights),
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {"EMA": {"decay": 0.9995}},
            "optimizer_states": [{"state": {}, "param_groups": []}],
            "lr_schedulers": [],
            "hparams_name": "cfg",
            "hyper_parameters": {"cfg": config},
        }
        torch.save({**content, **extra}, path)
    return path


def write_yolox(path: Path, state: Mapping[str, Tensor], **extra: Any) -> Path:
    """Write what YOLOX saves: the model's state beside an optimizer's."""
    content = {"start_epoch": 300, "model": OrderedDict(state), "optimizer": {"state": {}}}
    torch.save({**content, **extra}, path)
    return path
