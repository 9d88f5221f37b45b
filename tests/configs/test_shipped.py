"""The YAMLs that are shipped: all load, and say what they are meant to say."""

import json
from pathlib import Path

import pytest

from configs.reading.derive import derive
from configs.reading.fingerprint import WITHOUT_INFLUENCE
from configs.reading.load import load_dataset, load_experiment
from configs.schema import Experiment
from configs.schema.branch_loss import BceLossSettings, FocalLossSettings
from configs.schema.train import AdamWSettings

CONFIGS = Path(__file__).parents[2] / "configs"
EXPERIMENTS = sorted(path.name for path in CONFIGS.glob("*.yaml"))
DATASETS = sorted(path.stem for path in (CONFIGS / "datasets").glob("*.yaml"))


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bccd/BCCD", "facemask", "coco128", "coco"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("FOCALDET_DATASETS", str(tmp_path))
    monkeypatch.chdir(tmp_path)


WITHOUT_DATA = ("finetune.yaml", "from_scratch.yaml", "from_scratch_anchors.yaml")


def experiment(name: str, *overrides: str) -> Experiment:
    if name in WITHOUT_DATA:
        overrides = ("data=coco128", *overrides)
    return load_experiment(CONFIGS / name, overrides).experiment


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_loads_and_can_be_written_and_read(name: str, tmp_path: Path) -> None:
    overrides = ("data=coco128",) if name in WITHOUT_DATA else ()
    loaded = load_experiment(CONFIGS / name, overrides)
    assert loaded.graph["backbone"]
    (tmp_path / "config.yaml").write_text(loaded.to_yaml(), encoding="utf-8")
    assert load_experiment(tmp_path / "config.yaml").hash == loaded.hash


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_cut_short(name: str) -> None:
    short = experiment(name, "train.epochs=1", "augment.mosaic=0", "train.warmup.epochs=0")
    assert short.train.epochs == 1


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_loads_by_name(name: str) -> None:
    assert load_dataset(name).class_names


def test_the_recipe_changes_no_number_of_the_schema_unsaid() -> None:
    """The defaults of the schema are the published recipe, which the preset spells out."""
    loaded = load_experiment(CONFIGS / "coco.yaml")
    recipe = loaded.experiment
    plain = Experiment(data=recipe.data)
    for section in ("loss", "augment", "eval"):
        assert getattr(recipe, section) == getattr(plain, section)
    for key in ("optimizer", "schedule", "warmup", "ema", "clip_norm", "patience"):
        assert getattr(recipe.train, key) == getattr(plain.train, key)
    stated = {key for key, origin in loaded.origins.items() if "presets" in origin}
    recipe_keys = {key for key in loaded.origins if key.startswith("augment.")}
    assert recipe_keys - {*WITHOUT_INFLUENCE, "augment.custom"} <= stated


def test_published_numbers_of_the_recipe() -> None:
    recipe = experiment("coco.yaml")
    assert recipe.train.optimizer.model_dump() == {
        "name": "sgd",
        "lr": 0.01,
        "momentum": 0.937,
        "weight_decay": 0.0005,
    }
    assert recipe.loss.assigner.max_ratio == 4.0
    assert (recipe.loss.box.gain, recipe.loss.objectness.gain) == (0.05, 1.0)
    assert recipe.loss.classification.gain == 0.5
    assert (recipe.train.warmup.epochs, recipe.train.warmup.bias_lr) == (3.0, 0.1)
    assert (recipe.augment.hsv_hue, recipe.augment.hsv_saturation) == (0.015, 0.7)
    assert (recipe.eval.score_threshold, recipe.eval.iou_threshold) == (0.001, 0.6)


def test_the_default_recipe_fits_200_images() -> None:
    """The numbers that were measured on BCCD, docs/recipe.md."""
    recipe = derive(load_experiment(CONFIGS / "bccd.yaml"), num_images=205).experiment
    train = recipe.train
    assert train.optimizer == AdamWSettings(name="adamw", lr=0.002, weight_decay=0.05)
    assert (train.schedule.name, train.schedule.final) == ("cosine", 0.05)
    assert (train.nominal_batch, train.warmup.bias_lr) == (16, 0.002)
    assert train.ema.decay == pytest.approx(0.98095, abs=1e-5)
    assert (train.ema.ramp_steps, recipe.augment.close_mosaic) == (65.0, 15)


def test_the_anchor_free_recipe_keeps_mosaic_to_the_end() -> None:
    loaded = load_experiment(CONFIGS / "bccd_modern.yaml")
    assert derive(loaded, num_images=205).experiment.augment.close_mosaic == 0


def test_fine_tuning_takes_half_the_rate_and_a_longer_end() -> None:
    stated = ("data=bccd", "model.weights=start.safetensors", "train.epochs=30")
    loaded = load_experiment(CONFIGS / "finetune.yaml", stated)
    recipe = derive(loaded, num_images=205).experiment
    assert recipe.train.optimizer.lr == 0.001
    assert recipe.augment.close_mosaic == 8
    assert recipe.model.anchors == "graph"


def test_the_default_recipes_change_no_loss_and_of_evaluation_the_vote_alone() -> None:
    published = experiment("coco.yaml")
    for name in ("bccd.yaml", "facemask.yaml", "coco128.yaml"):
        recipe = experiment(name)
        assert recipe.loss == published.loss
        assert recipe.eval == published.eval.model_copy(update={"box_voting": 0.7})


def test_bccd_is_the_stated_task() -> None:
    train = experiment("bccd.yaml").train
    assert (train.epochs, train.image_size, train.batch_size, train.seed) == (100, 320, 16, 0)
    assert experiment("bccd.yaml").model.weights is None


def test_focal_differs_from_its_baseline_in_the_loss_only() -> None:
    bce, focal = experiment("bccd.yaml"), experiment("bccd_focal.yaml")
    assert bce.model_copy(update={"loss": focal.loss}) == focal
    assert isinstance(bce.loss.objectness, BceLossSettings)
    for name in ("objectness", "classification"):
        branch = getattr(focal.loss, name)
        assert isinstance(branch, FocalLossSettings)
        assert branch.gain == getattr(bce.loss, name).gain


def test_coco_sets_have_the_same_80_names() -> None:
    names = load_dataset("coco").class_names
    assert len(names) == 80
    assert load_dataset("coco128").class_names == names
    assert load_dataset("coco128-json").class_names == names


def test_shipped_data_sets_fit_the_reference_data(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOCALDET_DATASETS", str(shared / "data"))
    for name in ("facemask", "coco128-json"):
        data = load_dataset(name)
        for split in (data.train, data.val):
            assert (Path(data.path) / split.images).is_dir()
            annotations = json.loads((Path(data.path) / split.annotations).read_text())
            categories = sorted(annotations["categories"], key=lambda category: category["id"])
            assert tuple(category["name"] for category in categories) == data.class_names
    bccd = load_dataset("bccd")
    for name in (bccd.images, bccd.annotations, bccd.train, bccd.val, bccd.test):
        assert (Path(bccd.path) / name).exists()
    assert (Path(load_dataset("coco128").path) / "images/train2017").is_dir()
