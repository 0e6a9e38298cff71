"""Asks for any valid JSON object."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ResponseFormatJSONObject"]


class ResponseFormatJSONObject(BaseModel):
    """JSON mode."""

    type: Literal["json_object"]
