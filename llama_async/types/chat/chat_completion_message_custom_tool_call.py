"""A call to a custom tool."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ChatCompletionMessageCustomToolCall", "Custom"]


class Custom(BaseModel):
    """Name and input of a called custom tool."""

    input: str
    """As generated."""

    name: str


class ChatCompletionMessageCustomToolCall(BaseModel):
    """A call to a custom tool."""

    id: str
    custom: Custom
    type: Literal["custom"]
