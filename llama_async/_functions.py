"""`functions` and `function_call`, the older way to speak of tools: said by tools, answered in their own form.

Deprecated by openai in favour of tools, and still sent by programs. One function at most is called in an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic

from ._errors import bad_request, shown

__all__ = ["has_functions", "messages_by_tools", "parameters_by_tools"]

_CHOICES = ("none", "auto")


def has_functions(given: Mapping[str, Any]) -> bool:
    """Return whether a request offers functions in the older way."""
    return bool(given.get("functions"))


def parameters_by_tools(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a chat completion with `functions` said as `tools`.

    Args:
        given: Parameters of a chat completion. Without functions they are returned as they are.

    Raises:
        BadRequestError: They are malformed, or tools are given too.
    """
    choice = given.get("function_call")
    said = {name: value for name, value in given.items() if name not in ("functions", "function_call")}
    if not has_functions(given):
        if choice is not None and choice not in _CHOICES:
            raise bad_request("function_call", f"function_call is {shown(choice)}, but functions is empty")
        return said
    for name in ("tools", "tool_choice", "parallel_tool_calls"):
        if name in given:
            raise bad_request("functions", f"functions and {name} are both given: use tools alone")
    functions = given["functions"]
    if isinstance(functions, (str, bytes, Mapping)) or not isinstance(functions, Iterable):
        raise bad_request("functions", f"functions is {shown(functions)}, but must be a list of functions")
    said["tools"] = [{"type": "function", "function": function} for function in functions]
    said["tool_choice"] = _choice(choice)
    said["parallel_tool_calls"] = False
    return said


def _choice(choice: object) -> object:
    if choice is None:
        return "auto"
    if isinstance(choice, Mapping):
        return {"type": "function", "function": choice}
    if choice not in _CHOICES:
        raise bad_request("function_call", f"function_call is {shown(choice)}, but must be none, auto or an object")
    return choice


def messages_by_tools(messages: Iterable[object]) -> Iterator[object]:
    """Yield messages, with calls and results of functions said as those of tools.

    Raises:
        BadRequestError: A message has calls of both kinds, or a result has no call before it.
    """
    called = ""
    for index, message in enumerate(messages):
        fields = _fields(message)
        if fields.get("function_call") is not None:
            if fields.get("tool_calls"):
                place = f"messages[{index}].function_call"
                raise bad_request(place, f"{place} is given beside tool_calls: use tool_calls alone")
            called = f"call_{index}"
            call = {"id": called, "type": "function", "function": fields["function_call"]}
            yield {**{key: fields[key] for key in fields if key != "function_call"}, "tool_calls": [call]}
        elif fields.get("role") == "function":
            if not called:
                place = f"messages[{index}]"
                raise bad_request(place, f"{place} is of role function, but no message before it has a function_call")
            yield {**fields, "role": "tool", "tool_call_id": called, "content": fields.get("content") or ""}
        else:
            yield message


def _fields(message: object) -> Mapping[str, Any]:
    if isinstance(message, pydantic.BaseModel):
        # Only where it matters: most messages are left to the one who checks them.
        return message.model_dump(exclude_unset=True) if getattr(message, "function_call", None) is not None else {}
    return message if isinstance(message, Mapping) else {}
