"""The base class of all settings."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen group of keys; an unknown key, a wrong type and a value out of range are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    carried: ClassVar[frozenset[str]] = frozenset()
    """Keys that keep an inherited value when `name` switches to another variant of the same
    choice."""
