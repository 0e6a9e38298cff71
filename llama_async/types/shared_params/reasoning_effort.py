"""How much a model thinks before it answers."""

from llama_async.types.shared.reasoning_effort import ReasoningEffort

__all__ = ["ReasoningEffort"]
