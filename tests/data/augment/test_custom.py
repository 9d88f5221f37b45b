"""Operations of the user: functions, transforms and classes, made repeatable and kept in check."""

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configs.schema.augment import AugmentSettings
from data.augment.custom import load_custom_ops
from data.augment.operation import PixelOp
from data.augment.pixel_ops import PIXEL_OPS
from data.loading.dataset import SampleKey, TrainDataset
from data.loading.device_rendering import rendering_device
from tests.data.augment.device.both_ways import drawn_both_ways, photograph, records_of
from utils.runtime.errors import UserError
from utils.structures.images import ImageArray

MODULE = '''
import random
import numpy as np
import torch
from data.augment.operation import PixelOp


def invert(image):
    return 255 - image


def python_noise(image):
    return image + np.uint8(random.randrange(200))


def numpy_noise(image):
    return image + np.random.randint(0, 50, image.shape, dtype=np.uint8)


class TorchNoise(torch.nn.Module):
    def forward(self, image):
        assert image.shape[0] == 3
        return image + torch.randint(0, 50, image.shape, dtype=torch.uint8)


class Lazy:
    """Has generators of its own, as Albumentations has."""

    def set_random_seed(self, seed):
        self.rng = np.random.default_rng(seed)

    def __call__(self, image):
        return image + self.rng.integers(0, 50, image.shape, dtype=np.uint8)


class Darken(PixelOp):
    name = "darken"

    def sample(self, rng, settings):
        return (float(rng.integers(1, 4)),)

    def apply_numpy(self, image, parameters):
        return image // np.uint8(parameters[0])

    def apply_torch(self, images, parameters):
        return images // parameters[:, :, None, None].to(torch.uint8)


def wider(image):
    return image.repeat(2, axis=1)


def floats(image):
    return image / 255


def nothing(image):
    image += 1


def broken(image):
    raise ValueError("two\\nlines")


class NeedsMore:
    def __init__(self, strength):
        pass


number = 3
'''
SIZES = ((60, 80), (80, 60), (64, 64))


@pytest.fixture(autouse=True)
def _user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's module lies in the working directory, which is nowhere Python looks."""
    (tmp_path / "my_ops.py").write_text(MODULE)
    (tmp_path / "my_broken.py").write_text("import my_ops\n1 / 0\n")
    (tmp_path / "my_needy.py").write_text("import not_installed_anywhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("my_ops", "my_broken", "my_needy"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def dataset_with(*names: str, **strengths: Any) -> TrainDataset:
    images = {str(i): photograph(*size, i) for i, size in enumerate(SIZES)}
    return TrainDataset(
        records_of(SIZES),
        augment=AugmentSettings(**strengths),
        seed=4,
        read=lambda record: images[record.path],
        ops=(*PIXEL_OPS, *load_custom_ops(names)),
    )


def keys(epochs: int = 2) -> list[SampleKey]:
    return [
        SampleKey(epoch=epoch, index=index, image_size=64)
        for epoch in range(epochs)
        for index in range(len(SIZES))
    ]


def images_of(dataset: TrainDataset, order: list[SampleKey]) -> dict[SampleKey, ImageArray]:
    return {key: dataset[key].image for key in order}


def test_a_function_comes_after_all_else_and_shifts_nothing() -> None:
    plain, inverted = dataset_with(), dataset_with("my_ops.invert")
    for key in keys():
        before, after = plain[key], inverted[key]
        assert np.array_equal(after.image, 255 - before.image)
        assert np.array_equal(after.boxes, before.boxes)


RANDOM = ["python_noise", "numpy_noise", "TorchNoise", "Lazy"]


@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers_depend_on_the_sample_alone(name: str) -> None:
    """Neither on the order of samples nor on what else takes random numbers."""
    plain = images_of(dataset_with(), keys())
    first = images_of(dataset_with(f"my_ops.{name}"), keys())
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    second = images_of(dataset_with(f"my_ops.{name}"), keys()[::-1])
    noise = {key: first[key] - plain[key] for key in keys()}
    for key in keys():
        assert np.array_equal(first[key], second[key])
    assert len({each.tobytes() for each in noise.values()}) == len(noise)


@pytest.mark.parametrize("name", RANDOM)
def test_the_programs_own_random_numbers_stay(name: str) -> None:
    dataset = dataset_with(f"my_ops.{name}")

    def numbers() -> list[float]:
        return [random.random(), np.random.random(), float(torch.rand(()))]

    def seed() -> None:
        random.seed(7), np.random.seed(7), torch.manual_seed(7)

    seed()
    want = numbers()
    seed()
    dataset[keys()[0]]
    assert numbers() == want


def test_two_operations_have_numbers_of_their_own() -> None:
    both = dataset_with("my_ops.numpy_noise", "my_ops.Lazy")
    alone = dataset_with("my_ops.Lazy")
    for key in keys():
        seeds = [sampled.parameters for sampled in both.plan([key]).rows[0].ops]
        assert seeds[-1] != seeds[-2]
        assert seeds[-1] == alone.plan([key]).rows[0].ops[-1].parameters


def test_a_class_of_ours_is_rendered_by_the_device_too() -> None:
    dataset = dataset_with("my_ops.Darken", hsv_hue=0, hsv_saturation=0, hsv_value=0, mosaic=0.0)
    worker, device = drawn_both_ways(dataset, keys())
    plain, _ = drawn_both_ways(
        dataset_with(hsv_hue=0, hsv_saturation=0, hsv_value=0, mosaic=0.0), keys()
    )
    factors = [row.ops[-1].parameters for row in dataset.plan(keys()).rows]
    for image, before, factor in zip(worker.images, plain.images, factors, strict=True):
        assert factor is not None
        assert torch.equal(image, before // int(factor[0]))
    assert (device.images.int() - worker.images.int()).abs().max() <= 3
    assert rendering_device("train", torch.device("cpu"), load_custom_ops(["my_ops.Darken"]))


def test_what_only_workers_can_do_is_left_to_them() -> None:
    ops = (*PIXEL_OPS, *load_custom_ops(["my_ops.invert"]))
    cuda = torch.device("cuda")
    assert rendering_device("auto", cuda, ops) is None
    assert rendering_device("cpu", cuda, ops) is None
    with pytest.raises(
        UserError, match=r"^augment\.custom: my_ops\.invert runs in loader workers, so augment\.de"
    ):
        rendering_device("train", cuda, ops)


WRONG = {
    "invert": "'invert' is not a dotted name such as my_package.MyClass",
    "my ops.invert": "'my ops.invert' is not a dotted name",
    "my_ops.inverts": "did you mean 'my_ops.invert'?",
    "my_ops.absent": "module my_ops has no absent",
    "not_there.op": "there is no module not_there; it must be installed, on PYTHONPATH or",
    "my_ops.inner.op": "there is no module my_ops.inner",
    "my_broken.op": "my_broken.op cannot be imported: ZeroDivisionError: division by zero",
    "my_needy.op": "my_needy.op cannot be imported: ModuleNotFoundError: No module named 'not_inst",
    "my_ops.number": "my_ops.number is a int, which cannot be called",
    "my_ops.NeedsMore": "my_ops.NeedsMore cannot be made without arguments: TypeError: ",
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_names_are_one_clear_line(name: str) -> None:
    with pytest.raises(UserError) as caught:
        load_custom_ops([name])
    assert str(caught.value).startswith("augment.custom: ")
    assert WRONG[name] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("wider", r"must return the image .* uint8 \(64, 64, 3\), but returned uint8 \(64, 128,"),
        ("floats", r"must return .*, but returned float64 \(64, 64, 3\)$"),
        ("nothing", r"must return .*, but returned NoneType$"),
        ("broken", r"failed: ValueError: two lines$"),
    ],
)
def test_wrong_images_are_one_clear_line(name: str, what: str) -> None:
    with pytest.raises(UserError, match=rf"^augment\.custom: my_ops\.{name} {what}"):
        dataset_with(f"my_ops.{name}")[keys()[0]]


def test_transforms_of_torchvision_take_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchvision")
    (tmp_path / "my_vision.py").write_text(
        "import torch\n"
        "from torchvision.transforms import v2\n"
        "jitter = v2.Compose([v2.ColorJitter(0.5), v2.GaussianBlur(3)])\n"
        "moving = v2.Compose([v2.RandomApply([v2.RandomRotation(9)])])\n"
        "scaled = v2.ToDtype(torch.float32, scale=True)\n"
        "from torchvision import transforms as v1\n"
        "first = v1.Compose([v1.RandomHorizontalFlip()])\n"
        "several = v2.RandAugment()\n"
        "class Darker(v2.Transform):\n"
        "    def transform(self, inpt, params):\n"
        "        return inpt // 2\n"
    )
    monkeypatch.delitem(sys.modules, "my_vision", raising=False)
    plain = images_of(dataset_with(), keys())
    first = images_of(dataset_with("my_vision.jitter"), keys())
    torch.manual_seed(3)
    second = images_of(dataset_with("my_vision.jitter"), keys()[::-1])
    for key in keys():
        assert first[key].dtype == np.uint8
        assert first[key].flags.c_contiguous
        assert np.array_equal(first[key], second[key])
        assert not np.array_equal(first[key], plain[key])
    key = keys()[0]
    assert np.array_equal(dataset_with("my_vision.Darker")[key].image, plain[key] // 2)
    for name, part in (
        ("moving", "RandomRotation"),
        ("first", "RandomHorizontalFlip"),
        ("several", "RandAugment"),
    ):
        with pytest.raises(UserError, match=rf"my_vision\.{name} contains {part}, which moves obj"):
            load_custom_ops([f"my_vision.{name}"])
    with pytest.raises(UserError, match=r"my_vision\.scaled must return .* returned float32"):
        dataset_with("my_vision.scaled")[keys()[0]]


def test_transforms_of_albumentations_are_called_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By keyword and with a dictionary as answer; a stand-in, for the package is not needed."""
    inner = tmp_path / "albumentations" / "augmentations" / "geometric"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent, inner.parent.parent):
        (folder / "__init__.py").write_text("")
    (tmp_path / "albumentations" / "__init__.py").write_text(
        "class Compose:\n"
        "    def __init__(self, transforms):\n"
        "        self.transforms = transforms\n"
        "    def __call__(self, *, image):\n"
        "        return {'image': 255 - image}\n"
    )
    (inner / "rotate.py").write_text("class Rotate:\n    pass\n")
    (tmp_path / "my_alb.py").write_text(
        "import albumentations as A\n"
        "from albumentations.augmentations.geometric.rotate import Rotate\n"
        "inverted = A.Compose([])\n"
        "moving = A.Compose([A.Compose([Rotate()])])\n"
    )
    for name in [name for name in sys.modules if name.startswith(("albumentations", "my_alb"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    plain, inverted = dataset_with(), dataset_with("my_alb.inverted")
    assert np.array_equal(inverted[keys()[0]].image, 255 - plain[keys()[0]].image)
    with pytest.raises(UserError, match=r"my_alb\.moving contains Rotate, which moves objects"):
        load_custom_ops(["my_alb.moving"])
    for name in [name for name in sys.modules if name.startswith(("albumentations", "my_alb"))]:
        del sys.modules[name]


def test_the_table_names_each_operation_once() -> None:
    names = [op.name for op in PIXEL_OPS]
    assert len(set(names)) == len(names)
    assert all(op.runs_on_device for op in PIXEL_OPS)
    assert not {"mosaic", "affine", "mixup"} & set(names)
    assert all(isinstance(op, PixelOp) for op in PIXEL_OPS)
