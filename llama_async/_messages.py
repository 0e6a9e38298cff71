"""A conversation as the user gave it -> the JSON of a chat segment, or a BadRequestError that names the place.

Checks shape and types only; what a model's template makes of the conversation is the native side's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pydantic
from pydantic_core import PydanticSerializationError, to_json

from ._abi import Segment, SegmentKind
from ._errors import bad_request, shown
from ._functions import messages_by_tools

__all__ = ["ChatPrompt", "chat_prompt"]

_ROLES = ("developer", "system", "user", "assistant", "tool")

# Fields by role, beside `role` and `content`.
_FIELDS: Mapping[str, frozenset[str]] = {
    "developer": frozenset({"name"}),
    "system": frozenset({"name"}),
    "user": frozenset({"name"}),
    "assistant": frozenset({"name", "refusal", "tool_calls", "audio", "annotations", "reasoning_content"}),
    "tool": frozenset({"tool_call_id", "name"}),
}

# Text of this many characters is turned into JSON a piece at a time, so that a thread doing it lets go of the
# interpreter between pieces: 10 MB at once hold every other thread for 23 ms (measured).
_PIECE_CHARS = 1 << 16


class ChatPrompt:
    """A checked conversation.

    Args:
        messages: In the layout of a chat segment.
        options: The segment's other keys.
    """

    __slots__ = ("_messages", "_options", "n_chars")

    def __init__(self, messages: list[dict[str, Any]], options: Mapping[str, object]) -> None:
        self._messages = messages
        self._options = options
        self.n_chars = sum(_n_chars(message.get("content")) for message in messages)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The checked messages; not to be changed."""
        return self._messages

    def with_options(self, **options: object) -> ChatPrompt:
        """Return the same conversation with further keys of the segment."""
        return ChatPrompt(self._messages, {**self._options, **options})

    def encode(self) -> tuple[Segment, ...]:
        """Return the chat segment.

        Raises:
            BadRequestError: Some text holds a lone surrogate, which UTF-8 cannot express.
        """
        try:
            head = to_json({"add_generation_prompt": True, **self._options})[:-1]
            parts = [head, b',"messages":[']
            for index, message in enumerate(self._messages):
                if index:
                    parts.append(b",")
                _encode_message(message, parts)
            parts.append(b"]}")
            return (Segment(SegmentKind.CHAT, b"".join(parts)),)
        except (PydanticSerializationError, UnicodeEncodeError):
            raise self._blame() from None

    def _blame(self) -> Exception:
        """Find what cannot be written as JSON."""
        for key, value in self._options.items():
            if not _is_encodable(value):
                return bad_request(key, f"{key} cannot be written as JSON")
        for index, message in enumerate(self._messages):
            for key, value in message.items():
                if not _is_encodable(value):
                    place = f"messages[{index}].{key}"
                    return bad_request(place, f"{place} holds a lone surrogate, which UTF-8 cannot express")
        return bad_request("messages", "messages cannot be written as JSON")


def _encode_message(message: dict[str, Any], parts: list[bytes]) -> None:
    content = message.get("content")
    if not isinstance(content, str) or len(content) <= _PIECE_CHARS:
        parts.append(to_json(message))
        return
    parts.append(to_json({key: value for key, value in message.items() if key != "content"})[:-1])
    parts.append(b',"content":"')
    pieces = (content[start : start + _PIECE_CHARS] for start in range(0, len(content), _PIECE_CHARS))
    parts.extend(to_json(piece)[1:-1] for piece in pieces)
    parts.append(b'"}')


def _is_encodable(value: object) -> bool:
    try:
        to_json(value)
    except (PydanticSerializationError, UnicodeEncodeError):
        return False
    return True


def _n_chars(content: str | list[dict[str, str]] | None) -> int:
    if isinstance(content, list):
        return sum(len(part["text"]) for part in content)
    return len(content) if content else 0


def chat_prompt(messages: object, options: Mapping[str, object]) -> ChatPrompt:
    """Check a conversation.

    Args:
        messages: What the user passed: mappings, or messages of an earlier answer.
        options: Other keys of the chat segment.

    Raises:
        BadRequestError: It is empty, or a message has a wrong shape; `param` names the place.
    """
    if isinstance(messages, (str, bytes, Mapping, pydantic.BaseModel)) or not isinstance(messages, Iterable):
        raise bad_request("messages", f"messages is {shown(messages)}, but must be a list of messages")
    checked = [_message(f"messages[{index}]", message) for index, message in enumerate(messages_by_tools(messages))]
    if not checked:
        raise bad_request("messages", "messages is empty, but must hold at least one message")
    return ChatPrompt(checked, options)


def _message(place: str, message: object) -> dict[str, Any]:
    if isinstance(message, pydantic.BaseModel):
        message = message.model_dump(exclude_unset=True, mode="python")
    if not isinstance(message, Mapping):
        raise bad_request(place, f"{place} is {shown(message)}, but must be an object with role and content")
    role = message.get("role")
    if role not in _ROLES:
        raise bad_request(f"{place}.role", f"{place}.role is {shown(role)}, but must be one of {', '.join(_ROLES)}")
    known = _FIELDS[role]
    result: dict[str, Any] = {"role": role}
    for key, value in message.items():
        if key in ("role", "content") or value is None:
            continue
        if key not in known:
            raise bad_request(f"{place}.{key}", f"{place}.{key} is not a field of a message of role {role}")
        field = _field(f"{place}.{key}", key, value)
        if field is not None:
            result[key] = field
    if role == "tool" and "tool_call_id" not in result:
        raise bad_request(f"{place}.tool_call_id", f"{place}.tool_call_id is missing")
    content = message.get("content")
    if content is not None:
        result["content"] = _content(f"{place}.content", content, role)
    elif role != "assistant" or not ({"tool_calls", "refusal", "reasoning_content"} & result.keys()):
        raise bad_request(f"{place}.content", f"{place}.content is missing or None, but must be text")
    elif "refusal" in result:
        result["content"] = result["refusal"]
    else:
        result["content"] = ""
    result.pop("refusal", None)
    return result


def _field(place: str, key: str, value: object) -> object:
    """Check a field beside role and content; `None` if it has no place in a prompt."""
    if key in ("name", "tool_call_id", "refusal", "reasoning_content"):
        return _text(place, value)
    if key == "tool_calls":
        return _tool_calls(place, value)
    if key == "annotations":
        # Citations that a hosted web search added to an answer; they are no part of its text.
        return None
    raise bad_request(place, f"{place} is not supported: text only")


def _content(place: str, content: object, role: str) -> str | list[dict[str, str]]:
    if isinstance(content, str):
        return content
    if isinstance(content, (bytes, Mapping)) or not isinstance(content, Iterable):
        raise bad_request(place, f"{place} is {shown(content)}, but must be text or a list of parts")
    parts = [_part(f"{place}[{index}]", part, role) for index, part in enumerate(content)]
    if not parts:
        raise bad_request(place, f"{place} is an empty list, but must hold at least one part")
    return parts


def _part(place: str, part: object, role: str) -> dict[str, str]:
    if isinstance(part, pydantic.BaseModel):
        part = part.model_dump(exclude_unset=True)
    if not isinstance(part, Mapping):
        raise bad_request(place, f"{place} is {shown(part)}, but must be an object with a type")
    kind = part.get("type")
    if kind == "text" or (kind == "refusal" and role == "assistant"):
        return {"type": "text", "text": _text(f"{place}.{kind}", part.get(kind))}
    if kind in ("image_url", "input_audio", "file"):
        raise bad_request(place, f"{place} is of type {kind}, but this client takes text only", code="unsupported")
    raise bad_request(f"{place}.type", f"{place}.type is {shown(kind)}, but must be text")


def _tool_calls(place: str, calls: object) -> list[dict[str, object]] | None:
    if isinstance(calls, (str, bytes, Mapping)) or not isinstance(calls, Iterable):
        raise bad_request(place, f"{place} is {shown(calls)}, but must be a list of tool calls")
    return [_tool_call(f"{place}[{index}]", call) for index, call in enumerate(calls)] or None


def _tool_call(place: str, call: object) -> dict[str, object]:
    if isinstance(call, pydantic.BaseModel):
        call = call.model_dump(exclude_unset=True)
    if not isinstance(call, Mapping):
        raise bad_request(place, f"{place} is {shown(call)}, but must be an object")
    if call.get("type") != "function":
        raise bad_request(f"{place}.type", f"{place}.type is {shown(call.get('type'))}, but must be function")
    function = call.get("function")
    if not isinstance(function, Mapping):
        raise bad_request(f"{place}.function", f"{place}.function is {shown(function)}, but must be an object")
    return {
        "id": _text(f"{place}.id", call.get("id")),
        "type": "function",
        "function": {
            "name": _text(f"{place}.function.name", function.get("name")),
            "arguments": _text(f"{place}.function.arguments", function.get("arguments")),
        },
    }


def _text(place: str, value: object) -> str:
    if not isinstance(value, str):
        raise bad_request(place, f"{place} is {shown(value)}, but must be text")
    return value
