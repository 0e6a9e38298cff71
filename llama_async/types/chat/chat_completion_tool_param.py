"""The older name of a function tool."""

from __future__ import annotations

from typing import TypeAlias

from llama_async.types.shared_params.function_definition import FunctionDefinition

from .chat_completion_function_tool_param import ChatCompletionFunctionToolParam

__all__ = ["ChatCompletionToolParam", "FunctionDefinition"]

ChatCompletionToolParam: TypeAlias = ChatCompletionFunctionToolParam
