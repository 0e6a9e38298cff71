"""A function tool as results carry it."""

from typing import Literal

from llama_async._models import BaseModel
from llama_async.types.shared.function_definition import FunctionDefinition

__all__ = ["ChatCompletionFunctionTool"]


class ChatCompletionFunctionTool(BaseModel):
    """A function tool."""

    function: FunctionDefinition
    type: Literal["function"]
