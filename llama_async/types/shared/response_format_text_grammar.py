"""Asks for text that follows a grammar."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ResponseFormatTextGrammar"]


class ResponseFormatTextGrammar(BaseModel):
    """Text that follows a grammar."""

    grammar: str
    type: Literal["grammar"]
