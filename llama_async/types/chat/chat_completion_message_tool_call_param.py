"""The older name of an earlier function tool call."""

from __future__ import annotations

from typing import TypeAlias

from .chat_completion_message_function_tool_call_param import ChatCompletionMessageFunctionToolCallParam, Function

__all__ = ["ChatCompletionMessageToolCallParam", "Function"]

ChatCompletionMessageToolCallParam: TypeAlias = ChatCompletionMessageFunctionToolCallParam
