"""What the input of a custom tool looks like."""

from __future__ import annotations

from typing import Literal, TypeAlias

from typing_extensions import Required, TypedDict

__all__ = ["CustomToolInputFormat", "Grammar", "Text"]


class Text(TypedDict, total=False):
    """Free text."""

    type: Required[Literal["text"]]


class Grammar(TypedDict, total=False):
    """Text that follows a grammar."""

    definition: Required[str]
    syntax: Required[Literal["lark", "regex"]]
    type: Required[Literal["grammar"]]


CustomToolInputFormat: TypeAlias = Text | Grammar
