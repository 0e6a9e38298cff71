"""Any tool call of an answer."""

from typing import Annotated, TypeAlias

from llama_async._models import PropertyInfo

from .chat_completion_message_custom_tool_call import ChatCompletionMessageCustomToolCall
from .chat_completion_message_function_tool_call import ChatCompletionMessageFunctionToolCall, Function

__all__ = ["ChatCompletionMessageToolCallUnion", "Function"]

ChatCompletionMessageToolCallUnion: TypeAlias = Annotated[
    ChatCompletionMessageFunctionToolCall | ChatCompletionMessageCustomToolCall, PropertyInfo(discriminator="type")
]

# The older name, from before custom tools: it stayed the class of function tool calls.
ChatCompletionMessageToolCall: TypeAlias = ChatCompletionMessageFunctionToolCall
