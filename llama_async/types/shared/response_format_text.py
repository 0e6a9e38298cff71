"""Asks for plain text, the default."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ResponseFormatText"]


class ResponseFormatText(BaseModel):
    """Plain text."""

    type: Literal["text"]
