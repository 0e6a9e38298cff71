"""A tool call of an answer: the custom tool that is called and its input."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ChatCompletionMessageCustomToolCall", "Custom"]


class Custom(BaseModel):
    """Name and input of a called custom tool."""

    input: str
    """As generated."""

    name: str


class ChatCompletionMessageCustomToolCall(BaseModel):
    """The model calls one of the custom tools it was given."""

    id: str
    custom: Custom
    type: Literal["custom"]
