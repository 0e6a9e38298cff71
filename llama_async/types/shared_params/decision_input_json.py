"""JSON data as input of a decision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from typing_extensions import Required, TypedDict

__all__ = ["DecisionInputJSON"]


class DecisionInputJSON(TypedDict, total=False):
    """JSON data."""

    data: Required[dict[str, object | None] | Iterable[dict[str, object | None]]]
    type: Required[Literal["input_json"]]
