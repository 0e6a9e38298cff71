"""A tool call of an answer: the function that is called and its input."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ChatCompletionMessageFunctionToolCall", "Function"]


class Function(BaseModel):
    """Name and arguments of a called function."""

    arguments: str
    """JSON text as generated, not checked against the schema."""

    name: str


class ChatCompletionMessageFunctionToolCall(BaseModel):
    """The model calls one of the functions it was given."""

    id: str
    function: Function
    type: Literal["function"]
