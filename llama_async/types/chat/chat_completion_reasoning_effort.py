"""The older name of `ReasoningEffort`."""

from typing import TypeAlias

from llama_async.types.shared.reasoning_effort import ReasoningEffort

__all__ = ["ChatCompletionReasoningEffort"]

ChatCompletionReasoningEffort: TypeAlias = ReasoningEffort
