"""How much a model thinks before it answers."""

from ..shared.reasoning_effort import ReasoningEffort

__all__ = ["ReasoningEffort"]
