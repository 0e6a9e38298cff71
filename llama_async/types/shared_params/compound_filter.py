"""Filters joined by `and` or `or`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from typing_extensions import Required, TypedDict

from .comparison_filter import ComparisonFilter

__all__ = ["CompoundFilter", "Filter"]

Filter: TypeAlias = ComparisonFilter | object


class CompoundFilter(TypedDict, total=False):
    """Joins filters."""

    filters: Required[Iterable[Filter]]
    type: Required[Literal["and", "or"]]
