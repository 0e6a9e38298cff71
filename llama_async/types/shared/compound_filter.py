"""Filters joined by `and` or `or`."""

from typing import Literal, TypeAlias

from llama_async._models import BaseModel

from .comparison_filter import ComparisonFilter

__all__ = ["CompoundFilter", "Filter"]

Filter: TypeAlias = ComparisonFilter | object


class CompoundFilter(BaseModel):
    """Joins filters."""

    filters: list[Filter]
    type: Literal["and", "or"]
