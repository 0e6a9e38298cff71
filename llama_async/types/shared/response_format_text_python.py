"""Asks for Python source."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ResponseFormatTextPython"]


class ResponseFormatTextPython(BaseModel):
    """Python source."""

    type: Literal["python"]
