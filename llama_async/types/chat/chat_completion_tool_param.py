"""The older name of a function tool."""

from __future__ import annotations

from typing import TypeAlias

from .chat_completion_function_tool_param import ChatCompletionFunctionToolParam, FunctionDefinition

__all__ = ["ChatCompletionToolParam", "FunctionDefinition"]

ChatCompletionToolParam: TypeAlias = ChatCompletionFunctionToolParam
