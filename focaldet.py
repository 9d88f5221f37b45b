"""FocalDet from Python: train, evaluate, export, compare, and detect objects in images.

Example:
    >>> import focaldet
    >>> run = focaldet.train(data="my_export/", train={"epochs": 20})  # doctest: +SKIP
    >>> run.results["mAP50-95"]  # doctest: +SKIP
    0.412
    >>> detector = focaldet.load_detector(run)  # doctest: +SKIP
    >>> for found in detector("blood.jpg"):  # doctest: +SKIP
    ...     print(found.class_name, found.score, found.box)
    RBC 0.93 (12.1, 40.9, 118.4, 150.2)

Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from commands.api.detector import Detection, Detections, Detector, Picture, load_detector
    from commands.api.runs import Run, compare, export, train, val
    from configs.errors import ConfigError
    from data.images.io import ImageError
    from utils.engine.hook import Hook
    from utils.runtime.errors import UserError

__version__ = "0.1.0"
__all__ = [
    "ConfigError",
    "Detection",
    "Detections",
    "Detector",
    "Hook",
    "ImageError",
    "Picture",
    "Run",
    "UserError",
    "compare",
    "export",
    "load_detector",
    "train",
    "val",
]
_MODULES = {
    "commands.api.detector": ("Detection", "Detections", "Detector", "Picture", "load_detector"),
    "commands.api.runs": ("Run", "compare", "export", "train", "val"),
    "configs.errors": ("ConfigError",),
    "data.images.io": ("ImageError",),
    "utils.engine.hook": ("Hook",),
    "utils.runtime.errors": ("UserError",),
}
_INSTALLED = f"{__name__}." if "__path__" in globals() else ""
"""Where the modules are: below the package when it is installed, beside this file otherwise."""


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(_INSTALLED + module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


if __name__ == "__main__":
    from commands.console import main

    main()
