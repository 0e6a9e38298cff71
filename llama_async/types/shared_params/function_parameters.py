"""A JSON schema for the arguments of a function."""

from ..shared.function_parameters import FunctionParameters

__all__ = ["FunctionParameters"]
