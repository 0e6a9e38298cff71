"""A refusal inside an earlier assistant message."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Required, TypedDict

__all__ = ["ChatCompletionContentPartRefusalParam"]


class ChatCompletionContentPartRefusalParam(TypedDict, total=False):
    """A refusal of an earlier answer."""

    refusal: Required[str]
    type: Required[Literal["refusal"]]
