"""Import what a setting names: code of the user, run only because the user named it."""

import importlib
import os
import sys
from typing import Any

from utils.runtime.errors import UserError


def load_named_object(name: str, key: str) -> Any:
    """Return the object with the dotted `name`, e.g. `my_package.my_module.MyClass`.

    Modules are looked for where Python looks, then in the working directory.

    Args:
        name: module and attribute.
        key: the setting that holds the name, for messages.

    Raises:
        UserError: there is no such module or attribute, or importing it fails.
    """
    module_name, _, attribute = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")) or not module_name:
        raise UserError(f"{key}: {name!r} is no dotted name such as my_package.MyClass")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        if module_name == missing or module_name.startswith(f"{missing}."):
            reason = f"there is no module {missing} in the working directory or where Python looks"
        else:
            reason = f"{module_name} imports {missing}, which is not installed"
        raise UserError(f"{key}: {name} cannot be imported: {reason}") from error
    except Exception as error:
        reason = f"{module_name} fails: {type(error).__name__}: {' '.join(str(error).split())}"
        raise UserError(f"{key}: {name} cannot be imported: {reason}") from error
    if not hasattr(module, attribute):
        raise UserError(f"{key}: {name} cannot be imported: {module_name} has no {attribute}")
    return getattr(module, attribute)
