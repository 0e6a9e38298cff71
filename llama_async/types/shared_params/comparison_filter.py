"""A filter on one attribute."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Required, TypedDict

from llama_async._types import SequenceNotStr

__all__ = ["ComparisonFilter"]


class ComparisonFilter(TypedDict, total=False):
    """Compares one attribute with a value."""

    key: Required[str]
    type: Required[Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]]
    value: Required[str | float | bool | SequenceNotStr[str | float]]
