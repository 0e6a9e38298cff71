"""Name, description and argument schema of a function."""

from __future__ import annotations

from typing_extensions import Required, TypedDict

from .function_parameters import FunctionParameters

__all__ = ["FunctionDefinition"]


class FunctionDefinition(TypedDict, total=False):
    """A function as the model sees it."""

    name: Required[str]
    description: str
    parameters: FunctionParameters
    """JSON schema; absent for a function without arguments."""

    strict: bool | None
    """Follow the schema exactly when generating arguments."""
