"""Text as part of a decision's question."""

from __future__ import annotations

from typing import Literal

from typing_extensions import Required, TypedDict

__all__ = ["DecisionQuestionInputText"]


class DecisionQuestionInputText(TypedDict, total=False):
    """Text."""

    text: Required[str]
    type: Required[Literal["input_text"]]
