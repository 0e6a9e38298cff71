"""How much a model thinks before it answers, and what of it is shown."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from llama_async.types.shared.reasoning_effort import ReasoningEffort

__all__ = ["Reasoning"]


class Reasoning(TypedDict, total=False):
    """Reasoning options."""

    context: Literal["auto", "current_turn", "all_turns"] | None
    effort: ReasoningEffort | None
    generate_summary: Literal["auto", "concise", "detailed"] | None
    mode: str | Literal["standard", "pro"]
    summary: Literal["auto", "concise", "detailed"] | None
