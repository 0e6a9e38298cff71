"""Names for an answer that is still growing. What is there of it has the fields it will have when complete."""

from __future__ import annotations

from typing import TypeAlias

from llama_async.types.chat import ParsedChatCompletion, ParsedChatCompletionMessage, ParsedChoice

__all__ = ["ParsedChatCompletionMessageSnapshot", "ParsedChatCompletionSnapshot", "ParsedChoiceSnapshot"]

# `parsed` is what the JSON so far says, and an instance of the class asked for once the content is complete.
ParsedChatCompletionSnapshot: TypeAlias = ParsedChatCompletion[object]
ParsedChatCompletionMessageSnapshot: TypeAlias = ParsedChatCompletionMessage[object]
ParsedChoiceSnapshot: TypeAlias = ParsedChoice[object]
