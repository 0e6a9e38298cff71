"""Any tool call of an answer."""

from typing import Annotated, TypeAlias

from ..._models import PropertyInfo
from .chat_completion_message_custom_tool_call import ChatCompletionMessageCustomToolCall
from .chat_completion_message_function_tool_call import ChatCompletionMessageFunctionToolCall, Function
from .chat_completion_message_function_tool_call import (
    ChatCompletionMessageFunctionToolCall as _compat_ChatCompletionMessageToolCall,
)

__all__ = ["ChatCompletionMessageToolCallUnion", "Function"]

ChatCompletionMessageToolCallUnion: TypeAlias = Annotated[
    ChatCompletionMessageFunctionToolCall | ChatCompletionMessageCustomToolCall, PropertyInfo(discriminator="type")
]

ChatCompletionMessageToolCall: TypeAlias = _compat_ChatCompletionMessageToolCall
