"""Asks for any valid JSON object."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Required, TypedDict

__all__ = ["ResponseFormatJSONObject"]


class ResponseFormatJSONObject(TypedDict, total=False):
    """JSON mode."""

    type: Required[Literal["json_object"]]
