"""Names of settings in other detectors, and the equivalent here.

Facts of the command lines and settings of YOLOv5, Ultralytics, MMDetection and COCO's tools.
"""

from collections.abc import Mapping

KNOWN_WORDS: Mapping[str, str] = {
    # options
    "img": "train.image_size=N",
    "img_size": "train.image_size=N",
    "imgsz": "train.image_size=N",
    "batch": "train.batch_size=N (train.py), eval.batch_size=N (val.py, predict.py)",
    "max_epochs": "train.epochs=N",
    "data": "data=FOLDER, data=FILE.zip or data=my.yaml",
    "weights": "model.weights=FILE",
    "load_from": "model.weights=FILE",
    "pretrained": "model.weights=FILE",
    "model": "model.graph=yolov5s or model.weights=FILE",
    "config": "--cfg FILE",
    "hyp": "--cfg migrated.yaml, which migrate.py hyp.yaml opt.yaml writes",
    "resume": "--resume RUN",
    "resume_from": "--resume RUN",
    "project": "run.folder=FOLDER",
    "work_dir": "run.folder=FOLDER",
    "name": "run.name=NAME",
    "exist_ok": "run.name=NAME; a folder that exists is never overwritten",
    "gpu": "train.device=cuda:0",
    "gpus": "train.device=cuda:0, or torchrun --nproc-per-node N train.py ... for several",
    "local_rank": "torchrun --nproc-per-node N train.py ...; it needs no option of ours",
    "num_workers": "train.workers=N",
    "rect": "eval.rectangular=true",
    "single_cls": "data.classes.all_as=object",
    "classes": "data.classes.leave_out=[a, b], or data.classes.merge",
    "nosave": "run.checkpoint_minutes",
    "save_period": "run.checkpoint_minutes",
    "evolve": "compare.py with a section tuning, which searches settings",
    "sync_bn": "train.sync_batchnorm=true",
    "quad": "train.batch_size=N",
    "image_weights": "train.sampler.name=class_balanced",
    "amp": "train.precision=auto",
    "half": "train.precision=fp16",
    "fp16": "train.precision=fp16",
    "conf": "eval.score_threshold=X",
    "conf_thres": "eval.score_threshold=X",
    "score_thr": "eval.score_threshold=X",
    "iou": "eval.iou_threshold=X",
    "iou_thres": "eval.iou_threshold=X",
    "max_det": "eval.max_detections=N",
    "max_per_img": "eval.max_detections=N",
    "agnostic_nms": "eval.class_agnostic=true",
    "augment": "--tta (val.py, predict.py)",
    "dry_run": "--preflight",
    "optimizer": "train.optimizer.name=NAME",
    "wandb": "hooks=[wandb]",
    "mlflow": "hooks=[mlflow]",
    "logger": "hooks=[tensorboard], hooks=[mlflow] or hooks=[wandb]",
    "loggers": "hooks=[tensorboard], hooks=[mlflow] or hooks=[wandb]",
    "callbacks": "hooks=[my_module.MyHook]",
    "include": "export.py --format onnx,openvino",
    # hyper-parameters
    "lr0": "train.optimizer.lr=X",
    "lrf": "train.schedule.final=X",
    "cos_lr": "train.schedule.name=cosine",
    "nbs": "train.nominal_batch=N",
    "warmup_epochs": "train.warmup.epochs=X",
    "warmup_bias_lr": "train.warmup.bias_lr=X",
    "warmup_momentum": "train.warmup.momentum=X",
    "fl_gamma": "loss.classification: {name: focal, gamma: X, alpha: 0.25} and loss.objectness",
    "anchor_t": "loss.assigner.max_ratio=X",
    "cls_pw": "loss.classification.pos_weight=X",
    "obj_pw": "loss.objectness.pos_weight=X",
    "cls": "loss.classification.gain=X",
    "obj": "loss.objectness.gain=X",
    "box": "loss.box.gain=X",
    "hsv_h": "augment.hsv_hue=X",
    "hsv_s": "augment.hsv_saturation=X",
    "hsv_v": "augment.hsv_value=X",
    "fliplr": "augment.flip_horizontal=X",
    "flipud": "augment.flip_vertical=X",
    "copy_paste": "augment.mosaic and augment.mixup; copy-paste needs masks",
    "mosaic9": "augment.mosaic_nine=X",
}
"""Word, dashes written as underscores -> what to type."""


def hint_for(name: str) -> str | None:
    """Return what to write for a word of another detector, None where it is not known."""
    return KNOWN_WORDS.get(name.lower().replace("-", "_"))
