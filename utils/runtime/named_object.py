"""Import an object of the user's code by the dotted name in a setting."""

import importlib
import os
import sys
from difflib import get_close_matches
from typing import Any

from utils.runtime.errors import UserError


def load_named_object(name: str, key: str) -> Any:
    """Return the object with the dotted `name`, e.g. `my_package.my_module.MyClass`.

    Modules are looked for where Python looks, then in the working directory.

    Args:
        name: module and attribute, with a dot or a colon between them.
        key: the setting that holds the name, for messages.

    Raises:
        UserError: there is no such module or attribute, or importing it fails.
    """
    name = name.replace(":", ".")
    module_name, _, attribute = name.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"{key}: {name!r} is not a dotted name such as my_package.MyClass")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise user_code_error(key, name, "cannot be imported", error) from error
        raise UserError(
            f"{key}: {name}: there is no module {error.name}; it must be installed, on PYTHONPATH "
            f"or in the working directory {here}"
        ) from error
    except Exception as error:  # anything the user's code raises at import
        raise user_code_error(key, name, "cannot be imported", error) from error
    if not hasattr(module, attribute):
        close = get_close_matches(attribute, dir(module), n=1)
        hint = f"; did you mean '{module_name}.{close[0]}'?" if close else ""
        raise UserError(f"{key}: {name}: module {module_name} has no {attribute}{hint}")
    return getattr(module, attribute)


def user_code_error(key: str, name: str, what: str, error: Exception) -> UserError:
    """Return a one-line message for an error in the user's code, with setting and name."""
    text = " ".join(str(error).split())
    return UserError(f"{key}: {name} {what}: {type(error).__name__}: {text}")
