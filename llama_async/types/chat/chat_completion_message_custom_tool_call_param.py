"""An earlier call to a custom tool, given back as context."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Required, TypedDict

__all__ = ["ChatCompletionMessageCustomToolCallParam", "Custom"]


class Custom(TypedDict, total=False):
    """Name and input of a called custom tool."""

    input: Required[str]
    name: Required[str]


class ChatCompletionMessageCustomToolCallParam(TypedDict, total=False):
    """An earlier call to a custom tool."""

    id: Required[str]
    custom: Required[Custom]
    type: Required[Literal["custom"]]
