"""A call to a function tool."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ChatCompletionMessageFunctionToolCall", "Function"]


class Function(BaseModel):
    """Name and arguments of a called function."""

    arguments: str
    """JSON text as generated, not checked against the schema."""

    name: str


class ChatCompletionMessageFunctionToolCall(BaseModel):
    """A call to a function tool."""

    id: str
    function: Function
    type: Literal["function"]
