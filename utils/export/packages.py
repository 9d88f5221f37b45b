"""Optional packages for exporting and running exported files, imported when needed."""

import importlib
from typing import Any

from utils.runtime.errors import UserError


def require(module: str, *, purpose: str, package: str | None = None) -> Any:
    """Return an imported module.

    Args:
        module: what is imported.
        purpose: what needs it, for the message.
        package: what is installed, where its name is another than the module's.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.partition(".")[0] != module.partition(".")[0]:
            reason = f"it lacks {error.name}"
        else:
            reason = "it is not installed"
        name = package or module.partition(".")[0]
        raise UserError(
            f"{purpose} needs the package {name}, and {reason}; "
            f"pip install {name}, or all of requirements-export.txt"
        ) from error
