"""Tool choice by the name of a custom tool."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Required, TypedDict

__all__ = ["ChatCompletionNamedToolChoiceCustomParam", "Custom"]


class Custom(TypedDict, total=False):
    """Names the custom tool."""

    name: Required[str]


class ChatCompletionNamedToolChoiceCustomParam(TypedDict, total=False):
    """Makes the model call one custom tool."""

    custom: Required[Custom]
    type: Required[Literal["custom"]]
