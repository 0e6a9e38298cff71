"""Deltas -> the message so far.

Every delta gives a new message object; what an earlier one shows does not change any more. Merging by way of
dictionaries is right for every delta there can be, and slow; the deltas that make up nearly all of an answer, text and
the arguments of a known call, have short cuts with the same result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from llama_async._models import assemble
from llama_async.lib.streaming._deltas import accumulate_delta
from llama_async.types.chat import ParsedFunction, ParsedFunctionToolCall

from ._types import ParsedChatCompletionMessageSnapshot, ParsedChatCompletionSnapshot, ParsedChoiceSnapshot

if TYPE_CHECKING:
    from llama_async.types.chat import ChatCompletionChunk
    from llama_async.types.chat.chat_completion_chunk import Choice, ChoiceDelta

__all__ = ["GrowingJson", "GrowingMessage", "first_choice", "first_snapshot", "partial_json", "with_arguments"]

_TEXT_FIELDS = frozenset({"content", "refusal"})
_MERGED_FIELDS = frozenset(ParsedChatCompletionMessageSnapshot.model_fields) - {"parsed"}
_KNOWN_CALL = frozenset({"index", "function"})
_ARGUMENTS = frozenset({"arguments"})

# JSON text up to here is read again whenever it grows: it takes microseconds.
_EAGER_CHARS = 1024


def partial_json(text: str) -> object | None:
    """Return what the beginning of a JSON text says; strings and numbers that may go on are left out.

    Returns:
        `None` if it says nothing yet.

    Raises:
        ValueError: No JSON text begins like this.
    """
    try:
        value: object = from_json(text.encode(), allow_partial=True)
    except ValueError as error:
        # The reference fails here too, and with it every stream of a class whose JSON is a bare string.
        if "EOF while parsing" in str(error):
            return None
        raise
    return value


class GrowingJson:
    """Decides when a JSON text that grows is read while nobody looks at what it says.

    Read at every chunk, an answer takes quadratic time; never read, text that is no JSON at all would be found out only
    at its end. So it is read whenever it grew by an eighth, which together is linear.
    """

    __slots__ = ("_n_read", "is_stale")

    def __init__(self) -> None:
        self._n_read = 0
        self.is_stale = False

    def grow(self, n_chars: int) -> bool:
        """Note that it has so many characters now, so that what was read before is stale; return whether to read it."""
        self.is_stale = True
        is_due = n_chars <= _EAGER_CHARS or n_chars >= self._n_read + (self._n_read >> 3)
        if is_due:
            self._n_read = n_chars
        return is_due


def first_snapshot(chunk: ChatCompletionChunk) -> ParsedChatCompletionSnapshot:
    """Return the answer as the first chunk has it.

    Raises:
        IndexError: It holds a choice without those before it.
    """
    data: dict[str, Any] = chunk.model_dump(by_alias=True, exclude_unset=True, warnings=False)
    data.pop("obfuscation", None)
    for choice in chunk.choices:
        if choice.index >= len(data["choices"]):
            raise IndexError(f"the first chunk holds choice {choice.index}, but not all before it")
        data["choices"][choice.index] = _choice_fields(choice)
    return ParsedChatCompletionSnapshot.construct(
        **{"system_fingerprint": None, **data, "object": "chat.completion"},
    )


def first_choice(part: Choice) -> ParsedChoiceSnapshot:
    """Return a choice as its first chunk has it."""
    return ParsedChoiceSnapshot.construct(**_choice_fields(part))


def _choice_fields(part: Choice) -> dict[str, Any]:
    fields = part.model_dump(exclude_unset=True, exclude={"delta"}, warnings=False)
    fields["message"] = accumulate_delta({}, _delta_fields(part.delta))
    return fields


def _delta_fields(delta: ChoiceDelta) -> dict[str, Any]:
    return delta.model_dump(by_alias=True, exclude_unset=True, warnings=False)


class GrowingMessage:
    """Merges the deltas of one choice."""

    __slots__ = ("_is_merged", "_n_merged_calls")

    def __init__(self) -> None:
        # Merging sets every field of what it merges, also those that no delta had. A short cut that copies fields is
        # right only once that has happened, to the message and to each of its calls.
        self._is_merged = False
        self._n_merged_calls = 0

    def merge(
        self, message: ParsedChatCompletionMessageSnapshot, delta: ChoiceDelta
    ) -> ParsedChatCompletionMessageSnapshot:
        """Return the message with a delta added; `parsed` is left out."""
        merged = None
        if self._is_merged:
            if delta.tool_calls is None:
                merged = _with_text(message, delta)
            elif self._n_merged_calls == len(message.tool_calls or ()):
                merged = _with_call_arguments(message, delta)
        if merged is None:
            merged = self._merge_any(message, delta)
        return merged

    def _merge_any(
        self, message: ParsedChatCompletionMessageSnapshot, delta: ChoiceDelta
    ) -> ParsedChatCompletionMessageSnapshot:
        calls = message.tool_calls or []
        excluded: dict[str, Any] = {
            "parsed": True,
            "tool_calls": {index: {"function": {"parsed_arguments": True}} for index in range(len(calls))},
        }
        fields = accumulate_delta(message.model_dump(exclude=excluded, warnings=False), _delta_fields(delta))
        merged = ParsedChatCompletionMessageSnapshot.construct(**fields)
        for old, new in zip(calls, merged.tool_calls or (), strict=False):
            new.function.parsed_arguments = old.function.parsed_arguments
        self._is_merged = True
        self._n_merged_calls = len(calls)
        return merged


def _with_text(
    message: ParsedChatCompletionMessageSnapshot, delta: ChoiceDelta
) -> ParsedChatCompletionMessageSnapshot | None:
    """Add a delta that only appends text, to fields known or unknown; `None` if it is not such a one."""
    # Calls get a field set by every merge.
    if message.tool_calls:
        return None
    content = dict(message.__dict__)
    for name in delta.model_fields_set:
        if name not in _TEXT_FIELDS:
            return None
        if not _append(content, name, getattr(delta, name)):
            return None
    extra = dict(message.model_extra or {})
    for name, value in (delta.model_extra or {}).items():
        if name in {"index", "type"} or not _append(extra, name, value):
            return None
    content["parsed"] = None
    return assemble(ParsedChatCompletionMessageSnapshot, content, set(_MERGED_FIELDS), extra)


def _append(fields: dict[str, Any], name: str, value: object) -> bool:
    """Append text to a field; return whether both were text, or missing."""
    old = fields.get(name)
    if old is None and (value is None or isinstance(value, str)):
        fields[name] = value
        return True
    if isinstance(old, str) and isinstance(value, str):
        fields[name] = old + value
        return True
    return isinstance(old, str) and value is None


def _with_call_arguments(
    message: ParsedChatCompletionMessageSnapshot, delta: ChoiceDelta
) -> ParsedChatCompletionMessageSnapshot | None:
    """Add a delta that only appends to the arguments of one call; `None` if it is not such a one."""
    if len(delta.model_fields_set) != 1 or delta.model_extra or not delta.tool_calls or len(delta.tool_calls) != 1:
        return None
    (part,) = delta.tool_calls
    calls = message.tool_calls or []
    if part.model_fields_set != _KNOWN_CALL or part.model_extra or not 0 <= part.index < len(calls):
        return None
    function = part.function
    if function is None or function.model_fields_set != _ARGUMENTS or function.model_extra:
        return None
    call = calls[part.index]
    if not isinstance(function.arguments, str) or not _is_whole(call):
        return None
    calls = list(calls)
    calls[part.index] = _copied(call, arguments=call.function.arguments + function.arguments)
    content = {**message.__dict__, "parsed": None, "tool_calls": calls}
    extra = dict(message.model_extra or {})
    return assemble(ParsedChatCompletionMessageSnapshot, content, set(_MERGED_FIELDS), extra)


def _is_whole(call: object) -> bool:
    # What does not fit its type was taken as it came.
    return (
        type(call) is ParsedFunctionToolCall
        and type(call.function) is ParsedFunction
        and type(call.function.arguments) is str
    )


def with_arguments(call: ParsedFunctionToolCall, parsed_arguments: object) -> ParsedFunctionToolCall:
    """Return a call with its arguments parsed. A copy: earlier messages may share the call."""
    return _copied(call, parsed_arguments=parsed_arguments)


def _copied(call: ParsedFunctionToolCall, **changes: object) -> ParsedFunctionToolCall:
    old = call.function
    function = assemble(
        ParsedFunction,
        {**old.__dict__, **changes},
        {*old.model_fields_set, *changes},
        dict(old.model_extra or {}),
    )
    return assemble(
        ParsedFunctionToolCall,
        {**call.__dict__, "function": function},
        set(call.model_fields_set),
        dict(call.model_extra or {}),
    )
