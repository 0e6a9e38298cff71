"""A JSON schema for the arguments of a function."""

from llama_async.types.shared.function_parameters import FunctionParameters

__all__ = ["FunctionParameters"]
