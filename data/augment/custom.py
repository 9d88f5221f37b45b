"""Pixel operations of the user: a function, a torchvision or an Albumentations transform.

Their random numbers come from global generators or from generators of their own. These are seeded
anew for each image, so that results depend neither on workers nor on resuming, and the program's
own global generators are left as they were.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from configs.schema.augment import AugmentSettings
from data.augment.operation import Parameters, PixelOp
from utils.runtime.errors import UserError
from utils.runtime.named_object import load_named_object, user_code_error
from utils.structures.images import FloatArray, ImageArray

KEY = "augment.custom"
_SEEDS = 2**32


def load_custom_ops(names: Sequence[str]) -> tuple[PixelOp, ...]:
    """Import the user's pixel operations.

    Args:
        names: dotted names, as in `augment.custom`.

    Raises:
        UserError: a name cannot be imported, or is not an operation on pixels only.
    """
    return tuple(_load(name) for name in names)


def _load(name: str) -> PixelOp:
    found = load_named_object(name, KEY)
    if isinstance(found, type):
        with _one_line(name, "cannot be made without arguments"):
            found = found()
    if isinstance(found, PixelOp):
        return _UserOp(name, found)
    if not callable(found):
        raise UserError(f"{KEY}: {name} is a {type(found).__name__}, which cannot be called")
    moving = next(filter(_moves_objects, _parts(found)), None)
    if moving is not None:
        raise UserError(
            f"{KEY}: {name} contains {type(moving).__name__}, which moves objects away from their "
            "boxes; use the keys of augment for geometry"
        )
    return _UserOp(name, _Callable(found))


class _UserOp(PixelOp):
    """An operation by the user's name; its errors are user errors."""

    def __init__(self, name: str, inner: PixelOp) -> None:
        self.name = f"{KEY}: {name}"
        self._shown = name
        self._inner = inner

    @property
    def runs_on_device(self) -> bool:
        """Whether the user's operation has an `apply_torch`."""
        return self._inner.runs_on_device

    def sample(self, rng: np.random.Generator, settings: AugmentSettings) -> Parameters | None:
        """Return the parameters sampled by the user's operation."""
        with _one_line(self._shown, "failed"):
            return self._inner.sample(rng, settings)

    def apply_numpy(self, image: ImageArray, parameters: Parameters) -> ImageArray:
        """Return `image` (S, S, 3) changed by the user's operation."""
        with _one_line(self._shown, "failed"):
            return self._inner.apply_numpy(image, parameters)

    def apply_torch(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return `images` (B, S, S, 3) changed by the user's operation."""
        with _one_line(self._shown, "failed"):
            return self._inner.apply_torch(images, parameters)

    def move_boxes(self, boxes: FloatArray, image_size: int, parameters: Parameters) -> FloatArray:
        """Return boxes (N, 4) transformed by the user's operation."""
        with _one_line(self._shown, "failed"):
            return self._inner.move_boxes(boxes, image_size, parameters)


class _Callable(PixelOp):
    """A function or transform of one image; its parameter is the seed of its random numbers."""

    name = ""

    def __init__(self, change: Callable[..., Any]) -> None:
        self._change = change
        packages = {base.__module__.split(".")[0] for base in type(change).__mro__}
        self._takes_keywords = "albumentations" in packages
        self._takes_tensors = isinstance(change, torch.nn.Module) or "torchvision" in packages

    def sample(self, rng: np.random.Generator, settings: AugmentSettings) -> Parameters:
        """Return a seed."""
        return (int(rng.integers(_SEEDS)),)

    def apply_numpy(self, image: ImageArray, parameters: Parameters) -> ImageArray:
        """Return the result of the function on `image` (S, S, 3)."""
        seed = int(parameters[0])
        with _seeded(seed):
            if hasattr(self._change, "set_random_seed"):
                self._change.set_random_seed(seed)
            return cast(ImageArray, self._changed(image))

    def _changed(self, image: ImageArray) -> Any:
        if self._takes_keywords:
            return self._change(image=image)["image"]
        if not self._takes_tensors:
            changed = self._change(image)
            return np.ascontiguousarray(changed) if isinstance(changed, np.ndarray) else changed
        with torch.no_grad():
            changed = self._change(torch.from_numpy(image).permute(2, 0, 1))
        if not isinstance(changed, Tensor) or changed.ndim != 3:
            return changed
        return changed.permute(1, 2, 0).contiguous().numpy()


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of Python, NumPy and torch's CPU; restore them afterwards."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    # torch.manual_seed would seed the CUDA devices of a training run, too.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


@contextmanager
def _one_line(name: str, what: str) -> Iterator[None]:
    """Convert an error of the user's code to one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise user_code_error(KEY, name, what, error) from error


def _parts(transform: Any) -> Iterator[Any]:
    """Yield a transform and, if it is composed, all its parts."""
    yield transform
    inner = getattr(transform, "transforms", ())
    for each in inner if isinstance(inner, Iterable) else ():
        yield from _parts(each)


def _moves_objects(transform: Any) -> bool:
    """Tell whether a transform of torchvision or Albumentations is geometric."""
    return any(map(_is_geometry, type(transform).__mro__))


def _is_geometry(kind: type) -> bool:
    package, *inner = kind.__module__.split(".")
    if package == "albumentations":
        return bool({"geometric", "crops"} & set(inner))
    if package != "torchvision":
        return False
    from torchvision.transforms.v2 import _auto_augment, _geometry

    # The first generation of transforms has the same names.
    return any(
        getattr(getattr(module, kind.__name__, None), "__module__", "") == module.__name__
        for module in (_auto_augment, _geometry)
    )
