"""The base class of all settings."""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

AUTO = "auto"
BATCH = "batch"
SHARE = "15%"
"""Stands for any share of the run."""


ObjectName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[.:][A-Za-z_]\w*$")]
"""Name of something that can be imported, as in my_package.MyClass or my_package:MyClass."""


def derivable(*words: str) -> Any:
    """Mark a field that takes `words` beside numbers; a run derives the number, see
    configs/reading/derive.py.

    Returns:
        What `pydantic.Field` takes as `json_schema_extra`.
    """
    return {"derivable": list(words)}


class Settings(BaseModel):
    """A frozen group of keys; an unknown key, a wrong type and a value out of range are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    carried: ClassVar[frozenset[str]] = frozenset()
    """Keys that keep an inherited value when `name` switches to another variant of the same
    choice."""
