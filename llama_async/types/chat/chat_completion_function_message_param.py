"""The result of a function call (deprecated, see the tool message)."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Required, TypedDict

__all__ = ["ChatCompletionFunctionMessageParam"]


class ChatCompletionFunctionMessageParam(TypedDict, total=False):
    """The result of a function call (deprecated)."""

    content: Required[str | None]
    name: Required[str]
    role: Required[Literal["function"]]
