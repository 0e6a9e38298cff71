"""Asks for JSON that follows a schema."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Required, TypedDict

__all__ = ["JSONSchema", "ResponseFormatJSONSchema"]


class JSONSchema(TypedDict, total=False):
    """A named schema."""

    name: Required[str]
    description: str
    schema: dict[str, object]
    strict: bool | None
    """Follow the schema exactly."""


class ResponseFormatJSONSchema(TypedDict, total=False):
    """JSON that follows a schema."""

    json_schema: Required[JSONSchema]
    type: Required[Literal["json_schema"]]
