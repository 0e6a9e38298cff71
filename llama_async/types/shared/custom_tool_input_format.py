"""What the input of a custom tool looks like."""

from typing import Annotated, Literal, TypeAlias

from llama_async._models import BaseModel, PropertyInfo

__all__ = ["CustomToolInputFormat", "Grammar", "Text"]


class Text(BaseModel):
    """Free text."""

    type: Literal["text"]


class Grammar(BaseModel):
    """Text that follows a grammar."""

    definition: str
    syntax: Literal["lark", "regex"]
    type: Literal["grammar"]


CustomToolInputFormat: TypeAlias = Annotated[Text | Grammar, PropertyInfo(discriminator="type")]
