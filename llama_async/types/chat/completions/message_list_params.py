"""The query for the messages of a stored chat completion."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

__all__ = ["MessageListParams"]


class MessageListParams(TypedDict, total=False):
    """Which messages to list."""

    after: str
    """Id of the last message of the page before."""

    limit: int
    order: Literal["asc", "desc"]
