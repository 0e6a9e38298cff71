"""The one function that must be called (deprecated `function_call`)."""

from __future__ import annotations

from typing_extensions import Required, TypedDict

__all__ = ["ChatCompletionFunctionCallOptionParam"]


class ChatCompletionFunctionCallOptionParam(TypedDict, total=False):
    """Names the function that must be called."""

    name: Required[str]
