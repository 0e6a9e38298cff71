"""An earlier call to a function, given back as context."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Required, TypedDict

__all__ = ["ChatCompletionMessageFunctionToolCallParam", "Function"]


class Function(TypedDict, total=False):
    """Name and arguments of a called function."""

    arguments: Required[str]
    """JSON text as generated, not checked against the schema."""

    name: Required[str]


class ChatCompletionMessageFunctionToolCallParam(TypedDict, total=False):
    """An earlier call to a function tool."""

    id: Required[str]
    function: Required[Function]
    type: Required[Literal["function"]]
