"""Asks for JSON that follows a schema."""

from typing import Literal

from pydantic import Field

from llama_async._models import BaseModel

__all__ = ["JSONSchema", "ResponseFormatJSONSchema"]


class JSONSchema(BaseModel):
    """A named schema."""

    name: str
    description: str | None = None
    schema_: dict[str, object] | None = Field(alias="schema", default=None)
    """Named `schema` on the wire, which is a method of pydantic models."""

    strict: bool | None = None
    """Follow the schema exactly."""


class ResponseFormatJSONSchema(BaseModel):
    """JSON that follows a schema."""

    json_schema: JSONSchema
    type: Literal["json_schema"]
