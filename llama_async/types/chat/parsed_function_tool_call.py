"""A function tool call whose arguments were parsed into an object."""

from .chat_completion_message_function_tool_call import ChatCompletionMessageFunctionToolCall, Function

__all__ = ["ParsedFunction", "ParsedFunctionToolCall"]


class ParsedFunction(Function):
    """A called function with its parsed arguments."""

    parsed_arguments: object | None = None
    """An instance of the tool's class, or what the JSON text says."""


class ParsedFunctionToolCall(ChatCompletionMessageFunctionToolCall):
    """A call to a function tool with its parsed arguments."""

    function: ParsedFunction
