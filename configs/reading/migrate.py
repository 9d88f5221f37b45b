"""From the settings files of a YOLOv5 or Ultralytics run to an experiment.

YOLOv5 writes `hyp.yaml` and `opt.yaml` into a run's folder, Ultralytics `args.yaml`. What their
keys mean is taken from their public documentation.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from configs.errors import ConfigError
from configs.origins import CONFIGS_FOLDER
from configs.reading.yaml_reader import read_yaml
from configs.schema.known_words import hint_for

Values = Mapping[str, Any]
ULTRALYTICS_ONLY = frozenset({"task", "mode", "close_mosaic", "dfl"})
PRESETS = {"YOLOv5": "presets/yolov5.yaml", "Ultralytics": "presets/modern.yaml"}

DIRECT: Mapping[str, str] = {
    "epochs": "train.epochs", "imgsz": "train.image_size", "img_size": "train.image_size",
    "batch_size": "train.batch_size", "batch": "train.batch_size", "workers": "train.workers",
    "seed": "train.seed", "patience": "train.patience", "nbs": "train.nominal_batch",
    "lr0": "train.optimizer.lr", "weight_decay": "train.optimizer.weight_decay",
    "lrf": "train.schedule.final", "warmup_epochs": "train.warmup.epochs",
    "warmup_momentum": "train.warmup.momentum", "warmup_bias_lr": "train.warmup.bias_lr",
    "box": "loss.box.gain", "cls": "loss.classification.gain", "obj": "loss.objectness.gain",
    "cls_pw": "loss.classification.pos_weight", "obj_pw": "loss.objectness.pos_weight",
    "label_smoothing": "loss.classification.label_smoothing", "dfl": "loss.distribution.gain",
    "anchor_t": "loss.assigner.max_ratio", "hsv_h": "augment.hsv_hue",
    "hsv_s": "augment.hsv_saturation", "hsv_v": "augment.hsv_value", "degrees": "augment.degrees",
    "translate": "augment.translate", "scale": "augment.scale", "shear": "augment.shear",
    "perspective": "augment.perspective", "flipud": "augment.flip_vertical",
    "fliplr": "augment.flip_horizontal", "mosaic": "augment.mosaic", "mixup": "augment.mixup",
    "close_mosaic": "augment.close_mosaic", "deterministic": "train.deterministic",
    "iou": "eval.iou_threshold", "max_det": "eval.max_detections", "name": "run.name",
    "project": "run.folder", "sync_bn": "train.sync_batchnorm", "data": "data",
    "agnostic_nms": "eval.class_agnostic",
}  # fmt: skip
"""Keys whose value is taken as it is."""

WITHOUT_EFFECT: Mapping[str, str] = {
    "copy_paste": "copy-paste needs masks",
    "cutmix": "there is no cutmix here",
    "auto_augment": "is for classification",
    "erasing": "is for classification",
    "bgr": "images are RGB",
    "iou_t": "had no effect in YOLOv5 either",
    "rect": "training images are square; eval.rectangular is on",
    "cache": "train.cache: auto keeps decoded images where they fit",
    "multi_scale": "state train.multi_scale=0.5 if you want it: sizes from half to one and a half",
    "single_cls": "state data.classes.all_as=object",
    "classes": "data.classes chooses classes",
    "resume": "--resume RUN goes on with a run of ours only",
    "fraction": "name fewer images in the data YAML",
    "time": "state train.epochs",
    "save_period": "best and last weights are always kept",
    "dropout": "is for classification",
    "freeze": "state train.freeze: rows such as 0-9, or backbone",
    "conf": "training evaluates from score 0.001 on",
    "evolve": "compare.py searches settings (tuning)",
}
"""Keys with a meaning there and none here, and why."""


@dataclass(kw_only=True)
class Migration:
    """What became of the keys."""

    source: str
    """YOLOv5 or Ultralytics."""
    settings: dict[str, tuple[Any, str]] = field(default_factory=dict)
    """Dotted key of ours -> value, and the key it came from."""
    same: list[str] = field(default_factory=list)
    """Keys that state what the preset states, too."""
    left: dict[str, str] = field(default_factory=dict)
    """Keys that were not taken over -> why."""

    def put(self, key: str, value: object, origin: str) -> None:
        """Set a key of ours; one that was set before stays."""
        self.settings.setdefault(key, (value, origin))


def migrate(files: Sequence[Path]) -> str:
    """Return the YAML of an experiment that trains as the files of another trainer say.

    Args:
        files: hyp.yaml and opt.yaml of YOLOv5, args.yaml of Ultralytics; what a later file states
            goes before.

    Raises:
        ConfigError: a file cannot be read, or holds no key that is known.
    """
    values: dict[str, Any] = {}
    for file in files:
        content = read_yaml(file).values
        if "base" in content or content.get("resolved") is True:
            raise ConfigError(
                f"{file} is an experiment of this program; train it with --cfg {file}"
            )
        own = content.pop("hyp", None)
        values |= own if isinstance(own, dict) else {}
        values |= content
    known = [name for name in values if name in DIRECT or name in _SPECIAL]
    if not known:
        names = ", ".join(map(str, files))
        raise ConfigError(
            f"{names}: no key of YOLOv5 (hyp.yaml, opt.yaml) or Ultralytics (args.yaml) is known"
        )
    found = Migration(source="Ultralytics" if ULTRALYTICS_ONLY & set(values) else "YOLOv5")
    for name, value in values.items():
        _take(found, name, value, values)
    _drop_what_the_preset_says(found)
    _drop_idle(found)
    return "\n".join(_lines(found, files)) + "\n"


def _take(found: Migration, name: str, value: Any, values: Values) -> None:
    if name in _SPECIAL:
        _SPECIAL[name](found, value, values)
    elif name in DIRECT and not isinstance(value, (dict, list)) and value not in (None, ""):
        key, is_anchor = DIRECT[name], DIRECT[name].startswith(("loss.objectness", "loss.assigner"))
        if found.source == "Ultralytics" and is_anchor:
            found.left[name] = "the anchor-free head has no such part"
        else:
            found.put(key, value, name)
    elif name in WITHOUT_EFFECT:
        if value not in (None, False, 0, 0.0, "", [0]):
            found.left[name] = WITHOUT_EFFECT[name]
    elif value not in (None, False, 0, ""):
        known = hint_for(name)
        found.left[name] = f"here that is {known}" if known else "has no meaning here"


def _optimizer(found: Migration, value: Any, values: Values) -> None:
    name = str(value).lower()
    if name in ("sgd", "adam", "adamw"):
        found.put("train.optimizer.name", name, "optimizer")
    elif name != "auto":
        found.left["optimizer"] = "there are sgd, adam and adamw"


def _momentum(found: Migration, value: Any, values: Values) -> None:
    is_sgd = str(values.get("optimizer", "sgd")).lower() in ("sgd", "auto")
    key = "momentum" if is_sgd else "beta1"
    found.put(f"train.optimizer.{key}", value, "momentum")


def _cosine(found: Migration, value: Any, values: Values) -> None:
    if value:
        found.put("train.schedule.name", "cosine", "cos_lr")


def _precision(found: Migration, value: Any, values: Values) -> None:
    found.put("train.precision", "auto" if value else "float32", "amp")


def _device(found: Migration, value: Any, values: Values) -> None:
    if value not in (None, "", "None"):
        found.put("train.device", str(value), "device")


def _focal(found: Migration, value: Any, values: Values) -> None:
    if not value:
        return
    for branch, gain, weight in (("objectness", "obj", 1.0), ("classification", "cls", 0.5)):
        base = f"loss.{branch}"
        found.put(f"{base}.name", "focal", "fl_gamma")
        found.put(f"{base}.gamma", value, "fl_gamma")
        found.put(f"{base}.alpha", 0.25, "fl_gamma, whose alpha is 0.25")
        found.put(f"{base}.gain", values.get(gain, weight), gain)


def _graph(found: Migration, value: Any, values: Values) -> None:
    if not value:
        return
    name = PurePosixPath(str(value).replace("\\", "/")).stem
    own = name if found.source == "YOLOv5" else f"focal-{name.removesuffix('-seg')[-1:]}"
    if (CONFIGS_FOLDER / "models" / f"{own}.yaml").is_file():
        found.put("model.graph", f"models/{own}.yaml", "cfg" if "cfg" in values else "model")
    else:
        found.left["cfg" if "cfg" in values else "model"] = "state model.graph"


def _weights(found: Migration, value: Any, values: Values) -> None:
    if not value:
        return
    if not values.get("cfg"):
        _graph(found, value, values)
    found.put("model.weights", str(value), "weights")


def _pretrained(found: Migration, value: Any, values: Values) -> None:
    if isinstance(value, str):
        found.put("model.weights", value, "pretrained")


def _image_weights(found: Migration, value: Any, values: Values) -> None:
    if value:
        found.put("train.sampler.name", "class_balanced", "image_weights")


def _anchors(found: Migration, value: Any, values: Values) -> None:
    found.put("model.anchors", "graph" if value else "auto", "noautoanchor")


_SPECIAL: Mapping[str, Callable[[Migration, Any, Values], None]] = {
    "optimizer": _optimizer,
    "momentum": _momentum,
    "cos_lr": _cosine,
    "amp": _precision,
    "device": _device,
    "fl_gamma": _focal,
    "cfg": _graph,
    "model": _graph,
    "weights": _weights,
    "pretrained": _pretrained,
    "image_weights": _image_weights,
    "noautoanchor": _anchors,
}
"""Keys whose value means something else here."""


def _drop_what_the_preset_says(found: Migration) -> None:
    stated = dict(_preset(PRESETS[found.source]))
    for key, (value, origin) in list(found.settings.items()):
        if key in stated and stated[key] == value:
            del found.settings[key]
            found.same.append(origin)


def _drop_idle(found: Migration) -> None:
    """Leave out what has no effect beside the rest, which would be an error here."""
    mosaic = found.settings.get("augment.mosaic", (1.0, ""))[0]
    for key in ("augment.mixup", "augment.close_mosaic"):
        if not mosaic and key in found.settings:
            found.left[found.settings.pop(key)[1]] = "has no effect without mosaic"


def _preset(name: str) -> Iterator[tuple[str, Any]]:
    values = read_yaml(CONFIGS_FOLDER / name).values
    base = values.pop("base", None)
    if isinstance(base, str):
        yield from _preset(f"presets/{base}")
    yield from _flat(values, "")


def _flat(values: Values, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _lines(found: Migration, files: Sequence[Path]) -> Iterator[str]:
    names = ", ".join(file.name for file in files)
    article = "an" if found.source == "Ultralytics" else "a"
    yield f"# From {names} of {article} {found.source} run. Train it: train.py --cfg THIS_FILE"
    if found.same:
        yield f"# As in {PRESETS[found.source]}, so not repeated: {', '.join(found.same)}"
    if found.source == "Ultralytics":
        yield "# The anchor-free network and its recipe are ours; the numbers below are yours."
    yield f"base: {PRESETS[found.source]}"
    if "data" not in found.settings:
        yield "# data: my.yaml             # not named there; or data=FOLDER on the command line"
    tree: dict[str, Any] = {}
    for key, item in found.settings.items():
        *groups, last = key.split(".")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = item
    yield from _tree(tree, "")
    if found.left:
        yield "# Not taken over:"
        yield from (f"#   {name}: {why}" for name, why in found.left.items())


def _tree(tree: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, item in tree.items():
        if isinstance(item, dict):
            yield f"{indent}{name}:"
            yield from _tree(item, indent + "  ")
        else:
            value, origin = item
            stated = f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}"
            yield f"{stated:<40}  # {origin}"
