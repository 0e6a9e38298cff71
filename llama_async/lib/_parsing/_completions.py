"""A chat completion -> the same with its content and its tool calls' arguments parsed.

What is asked for by a class comes back as its instance; arguments of a strict tool without a class come back as what
their JSON says. Everything else stays text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import pydantic
from typing_extensions import TypeIs, TypeVar

from llama_async._errors import ContentFilterFinishReasonError, LengthFinishReasonError
from llama_async._types import NotGiven, Omit, omit
from llama_async.lib._pydantic import is_basemodel_type, is_dataclass_like_type, to_strict_json_schema
from llama_async.lib._tools import PydanticFunctionTool
from llama_async.types.chat import ParsedChatCompletion, ParsedChoice, ParsedFunctionToolCall

if TYPE_CHECKING:
    from llama_async.types.chat import (
        ChatCompletion,
        ChatCompletionFunctionToolParam,
        ChatCompletionMessage,
        ChatCompletionToolUnionParam,
        ParsedChatCompletionMessage,
        ParsedFunction,
    )
    from llama_async.types.chat.chat_completion_message_function_tool_call import Function
    from llama_async.types.chat.chat_completion_message_tool_call import ChatCompletionMessageToolCallUnion
    from llama_async.types.chat.completion_create_params import ResponseFormat

__all__ = [
    "ResponseFormatT",
    "get_input_tool_by_name",
    "has_parseable_input",
    "materialize_input_tools",
    "maybe_parse_content",
    "parse_chat_completion",
    "parse_function_tool_arguments",
    "type_to_response_format_param",
    "validate_input_tools",
]

# Without a response format nothing is parsed, and `parsed` is None.
ResponseFormatT = TypeVar("ResponseFormatT", default=None)

_log = logging.getLogger("llama_async.lib.parsing")


def materialize_input_tools(
    tools: Iterable[ChatCompletionToolUnionParam] | Omit | None = omit,
) -> list[ChatCompletionToolUnionParam] | Omit:
    """Return the tools as a list, since they are needed more than once; `omit` if there are none."""
    return omit if _is_missing(tools) else list(tools)


def validate_input_tools(
    tools: Iterable[ChatCompletionToolUnionParam] | Omit | None = omit,
) -> list[ChatCompletionFunctionToolParam] | Omit:
    """Return the tools as a list, all of them such as `parse` takes.

    Raises:
        ValueError: One is not a strict function tool, so what is called with cannot be promised to parse.
    """
    if _is_missing(tools):
        return omit
    listed = list(tools)
    for index, tool in enumerate(listed):
        if tool["type"] != "function":
            raise ValueError(f"tools[{index}].type is `{tool['type']}`, but only `function` tools can be parsed")
        function = tool["function"]
        if function.get("strict") is not True:
            raise ValueError(
                f"tools[{index}]: `{function['name']}` is not strict, but only `strict` function tools can be parsed"
            )
    return cast("list[ChatCompletionFunctionToolParam]", listed)


def parse_chat_completion(
    *,
    response_format: type[ResponseFormatT] | ResponseFormat | Omit,
    input_tools: Iterable[ChatCompletionToolUnionParam] | Omit,
    chat_completion: ChatCompletion | ParsedChatCompletion[object],
) -> ParsedChatCompletion[ResponseFormatT]:
    """Return a completion with its contents and arguments parsed.

    Args:
        response_format: The class that contents are instances of; otherwise they are not parsed.
        input_tools: The tools that may have been called.
        chat_completion: The answer.

    Raises:
        LengthFinishReasonError: An answer ended by its length.
        ContentFilterFinishReasonError: An answer was ended by a content filter.
        pydantic.ValidationError: A content does not fit the class, or arguments not theirs.
        json.JSONDecodeError: Arguments of a strict tool without a class are not JSON.
    """
    tools = [] if _is_missing(input_tools) else list(input_tools)
    choices: list[ParsedChoice[ResponseFormatT]] = []
    for choice in chat_completion.choices:
        if choice.finish_reason == "length":
            raise LengthFinishReasonError(completion=chat_completion)
        if choice.finish_reason == "content_filter":
            raise ContentFilterFinishReasonError(completion=chat_completion)
        message = choice.message
        calls = [_parse_tool_call(tools, call) for call in message.tool_calls or () if _is_callable(call)]
        fields = choice.model_dump(by_alias=True, exclude_unset=True, exclude={"message"})
        fields["message"] = {
            **message.model_dump(by_alias=True, exclude_unset=True, exclude={"parsed", "tool_calls"}),
            "parsed": maybe_parse_content(response_format=response_format, message=message),
            "tool_calls": calls or None,
        }
        choices.append(ParsedChoice[ResponseFormatT].construct(**fields))
    return ParsedChatCompletion[ResponseFormatT].construct(
        **chat_completion.model_dump(by_alias=True, exclude_unset=True, exclude={"choices"}), choices=choices
    )


def _is_callable(call: ChatCompletionMessageToolCallUnion) -> bool:
    if call.type == "custom":
        _log.warning("the call %s of the custom tool %s cannot be parsed: left out", call.id, call.custom.name)
        return False
    return True


def _parse_tool_call(
    tools: list[ChatCompletionToolUnionParam], call: ChatCompletionMessageToolCallUnion
) -> ParsedFunctionToolCall:
    if call.type != "function":
        return cast("ParsedFunctionToolCall", call)
    function = call.function.model_dump(by_alias=True, exclude_unset=True, exclude={"parsed_arguments"})
    function["parsed_arguments"] = parse_function_tool_arguments(input_tools=tools, function=call.function)
    fields = call.model_dump(by_alias=True, exclude_unset=True, exclude={"function"})
    return ParsedFunctionToolCall.construct(**fields, function=function)


def get_input_tool_by_name(
    *, input_tools: list[ChatCompletionToolUnionParam], name: str
) -> ChatCompletionFunctionToolParam | None:
    """Return the function tool of that name, `None` if there is none."""
    for tool in input_tools:
        if tool["type"] == "function" and tool.get("function", {}).get("name") == name:
            return tool
    return None


def parse_function_tool_arguments(
    *, input_tools: list[ChatCompletionToolUnionParam], function: Function | ParsedFunction
) -> object | None:
    """Return the arguments of a call: an instance of its tool's class, else what the JSON of a strict tool says.

    Args:
        input_tools: The tools that may have been called.
        function: What was called, with which arguments.

    Returns:
        `None` if no tool has this name, or it is not strict.

    Raises:
        pydantic.ValidationError: The arguments do not fit the tool's class.
        json.JSONDecodeError: They are not JSON.
    """
    tool = get_input_tool_by_name(input_tools=input_tools, name=function.name)
    if tool is None:
        return None
    definition: object = tool.get("function")
    if isinstance(definition, PydanticFunctionTool):
        return definition.model.model_validate_json(function.arguments)
    if not cast("dict[str, Any]", definition).get("strict"):
        return None
    parsed: object = json.loads(function.arguments)
    return parsed


def maybe_parse_content(
    *,
    response_format: type[ResponseFormatT] | ResponseFormat | Omit,
    message: ChatCompletionMessage | ParsedChatCompletionMessage[object],
) -> ResponseFormatT | None:
    """Return a message's content as an instance of the class asked for; `None` if it has none, or nobody asked.

    Raises:
        pydantic.ValidationError: The content does not fit the class.
    """
    if not _is_class(response_format) or not message.content or message.refusal:
        return None
    if is_basemodel_type(response_format):
        return cast("ResponseFormatT", response_format.model_validate_json(message.content))
    if is_dataclass_like_type(response_format):
        return pydantic.TypeAdapter(response_format).validate_json(message.content)
    raise _unsupported(response_format)


def has_parseable_input(
    *,
    response_format: type | ResponseFormat | Omit,
    input_tools: Iterable[ChatCompletionToolUnionParam] | Omit = omit,
) -> bool:
    """Return whether an answer is to be parsed: a class was given, or a strict tool."""
    return _is_class(response_format) or any(map(_is_parseable_tool, input_tools or ()))


def _is_parseable_tool(tool: ChatCompletionToolUnionParam) -> bool:
    if tool["type"] != "function":
        return False
    definition = tool.get("function", {})
    return isinstance(definition, PydanticFunctionTool) or bool(definition.get("strict"))


def type_to_response_format_param(response_format: type | ResponseFormat | Omit) -> ResponseFormat | Omit:
    """Return the response format that asks for instances of a class; any other is returned as it is.

    Raises:
        TypeError: It is a class that is neither pydantic's nor one of its dataclasses.
    """
    if not _is_class(response_format):
        return cast("ResponseFormat | Omit", response_format)
    asked = cast("type", response_format)
    source: type[pydantic.BaseModel] | pydantic.TypeAdapter[Any]
    if is_basemodel_type(asked):
        source = asked
    elif is_dataclass_like_type(asked):
        source = pydantic.TypeAdapter(asked)
    else:
        raise _unsupported(asked)
    return {
        "type": "json_schema",
        "json_schema": {"schema": to_strict_json_schema(source), "name": asked.__name__, "strict": True},
    }


def _unsupported(response_format: object) -> TypeError:
    return TypeError(f"response_format is {response_format!r}, but must be a pydantic class or a pydantic dataclass")


def _is_class(response_format: type[ResponseFormatT] | ResponseFormat | Omit) -> TypeIs[type[ResponseFormatT]]:
    # Whatever else it is, it was meant as a class: what follows says that it is none.
    return not isinstance(response_format, (Omit, NotGiven, dict)) and response_format is not None


def _is_missing(value: object) -> TypeIs[Omit | None]:
    return value is None or isinstance(value, (Omit, NotGiven))
