"""Name, description and argument schema of a function."""

from llama_async._models import BaseModel

from .function_parameters import FunctionParameters

__all__ = ["FunctionDefinition"]


class FunctionDefinition(BaseModel):
    """A function as the model sees it."""

    name: str
    description: str | None = None
    parameters: FunctionParameters | None = None
    """JSON schema; absent for a function without arguments."""

    strict: bool | None = None
    """Follow the schema exactly when generating arguments."""
