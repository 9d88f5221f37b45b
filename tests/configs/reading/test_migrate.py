"""Settings of other trainers: what the files of their runs become."""

from pathlib import Path

import pytest

from commands.migrate.cli import parse_migrate_command
from commands.migrate.run import write_migrated
from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment, load_experiment
from configs.reading.migrate import DIRECT, migrate
from configs.schema.keys import all_keys
from utils.runtime.errors import UserError

HYP = """
lr0: 0.02
lrf: 0.1
momentum: 0.937
weight_decay: 0.0005
warmup_epochs: 3.0
warmup_momentum: 0.8
warmup_bias_lr: 0.1
box: 0.05
cls: 0.3
cls_pw: 1.0
obj: 0.7
obj_pw: 1.0
iou_t: 0.2
anchor_t: 4.0
fl_gamma: 0.0
hsv_h: 0.02
degrees: 5.0
mosaic: 1.0
mixup: 0.1
copy_paste: 0.2
flipud: 0.0
"""
OPT = """
weights: ''
cfg: models/yolov5s.yaml
data: {data}
hyp: data/hyps/hyp.scratch-low.yaml
epochs: 42
batch_size: 8
imgsz: 320
rect: false
resume: false
nosave: false
noautoanchor: false
evolve: null
bucket: ''
image_weights: true
device: ''
multi_scale: true
single_cls: false
optimizer: AdamW
cos_lr: true
patience: 7
seed: 3
project: runs/train
name: exp
entity: null
"""
ARGS = """
task: detect
mode: train
model: yolov8s.pt
data: {data}
epochs: 30
patience: 100
batch: 12
imgsz: 416
device: 0
optimizer: auto
amp: true
cos_lr: false
close_mosaic: 10
lr0: 0.01
lrf: 0.01
momentum: 0.937
box: 6.0
cls: 0.5
dfl: 1.2
pose: 12.0
nbs: 64
mosaic: 0.0
mixup: 0.2
erasing: 0.4
"""


def migrate_program(arguments: list[str]) -> str:
    return write_migrated(parse_migrate_command(arguments))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    path = tmp_path / "data.yaml"
    path.write_text(f"path: {tmp_path}\ntrain: images\nval: images\nnames: [a, b]\n")
    return path


def migrated(tmp_path: Path, data: Path, **files: str) -> tuple[LoadedExperiment, str]:
    paths = []
    for name, text in files.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(text.replace("{data}", str(data)))
        paths.append(str(path))
    out = tmp_path / "out.yaml"
    said = migrate_program([*paths, "--out", str(out)])
    assert said == f"written: {out}; train with train.py --cfg {out}"
    return load_experiment(out), out.read_text()


def test_every_key_of_ours_exists() -> None:
    assert set(DIRECT.values()) <= set(all_keys())


def test_a_yolov5_run(tmp_path: Path, data: Path) -> None:
    loaded, text = migrated(tmp_path, data, hyp=HYP, opt=OPT)
    experiment = loaded.experiment
    train, loss = experiment.train, experiment.loss
    assert loaded.graph_path.stem == "yolov5s"
    assert (train.epochs, train.batch_size, train.image_size) == (42, 8, 320)
    assert (train.optimizer.name, train.optimizer.lr) == ("adamw", 0.02)
    assert train.optimizer.beta1 == 0.937  # type: ignore[union-attr]
    assert (train.schedule.name, train.schedule.final) == ("cosine", 0.1)  # type: ignore[union-attr]
    assert (train.patience, train.seed, train.sampler.name) == (7, 3, "class_balanced")
    assert (loss.box.gain, loss.classification.gain) == (0.05, 0.3)
    assert loss.objectness is not None
    assert loss.objectness.gain == 0.7
    assert (experiment.augment.hsv_hue, experiment.augment.degrees) == (0.02, 5.0)
    assert experiment.augment.mixup == 0.1
    assert (experiment.run.folder, experiment.run.name) == ("runs/train", "exp")
    assert experiment.model.anchors == "auto"
    assert "#   copy_paste: copy-paste needs masks" in text
    assert "#   iou_t: had no effect in YOLOv5 either" in text
    assert "#   multi_scale: state train.multi_scale=0.5" in text
    assert "lr: 0.02" in text
    assert "# lr0" in text
    assert "warmup_epochs" in text.splitlines()[1]  # as in the preset


def test_focal_loss_of_yolov5(tmp_path: Path, data: Path) -> None:
    hyp = HYP.replace("fl_gamma: 0.0", "fl_gamma: 1.5")
    loss = migrated(tmp_path, data, hyp=hyp, opt=OPT)[0].experiment.loss
    for branch, gain in ((loss.objectness, 0.7), (loss.classification, 0.3)):
        assert branch is not None
        assert (branch.name, branch.gamma, branch.alpha, branch.gain) == ("focal", 1.5, 0.25, gain)  # type: ignore[union-attr]


def test_an_ultralytics_run(tmp_path: Path, data: Path) -> None:
    loaded, text = migrated(tmp_path, data, args=ARGS)
    train, loss = loaded.experiment.train, loaded.experiment.loss
    assert loaded.graph_path.stem == "focal-s"
    assert (train.epochs, train.batch_size, train.image_size) == (30, 12, 416)
    assert (train.device, train.precision) == ("cuda:0", "auto")
    assert loss.box.gain == 6.0
    assert loss.distribution is not None
    assert loss.distribution.gain == 1.2
    assert loss.objectness is None
    assert loaded.experiment.augment.mosaic == 0
    assert "#   mixup: has no effect without mosaic" in text
    assert "#   close_mosaic: has no effect without mosaic" in text
    assert "#   pose: has no meaning here" in text
    assert "#   erasing: is for classification" in text


def test_a_setting_inside_opt_yaml(tmp_path: Path, data: Path) -> None:
    opt = OPT.replace("hyp: data/hyps/hyp.scratch-low.yaml", "hyp: {lr0: 0.005, mixup: 0.3}")
    experiment = migrated(tmp_path, data, opt=opt)[0].experiment
    assert experiment.train.optimizer.lr == 0.005
    assert experiment.augment.mixup == 0.3


def test_missing_data_is_named_and_the_file_is_written(tmp_path: Path) -> None:
    hyp, out = tmp_path / "hyp.yaml", tmp_path / "out.yaml"
    hyp.write_text(HYP)
    said = migrate_program([str(hyp), "--out", str(out)])
    assert said == f"written: {out}; train with train.py --cfg {out} data=FOLDER"
    assert "# data: my.yaml" in out.read_text()
    with pytest.raises(UserError, match="is there already"):
        migrate_program([str(hyp), "--out", str(out)])


def test_our_own_experiments_are_not_migrated(tmp_path: Path) -> None:
    hyp, out = tmp_path / "hyp.yaml", tmp_path / "out.yaml"
    hyp.write_text(HYP)
    migrate_program([str(hyp), "--out", str(out)])
    with pytest.raises(ConfigError, match="is an experiment of this program; train it with --cfg"):
        migrate_program([str(out), "--out", str(tmp_path / "again.yaml")])
    with pytest.raises(ConfigError, match="cannot read"):  # not of the target, which is there
        migrate_program([str(tmp_path / "nowhere.yaml"), "--out", str(out)])


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [2]\n")
    with pytest.raises(ConfigError, match=r"no key of YOLOv5 .* is known"):
        migrate([path])
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        migrate([tmp_path / "none.yaml"])
