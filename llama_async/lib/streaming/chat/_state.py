"""Chunks -> events, and the answer so far. Waits for nothing: both kinds of streams are thin around it."""

from __future__ import annotations

import inspect
from contextlib import suppress
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

from llama_async._errors import ContentFilterFinishReasonError, LengthFinishReasonError
from llama_async._models import build, make_builder
from llama_async._types import omit
from llama_async.lib._parsing import (
    ResponseFormatT,
    get_input_tool_by_name,
    has_parseable_input,
    materialize_input_tools,
    maybe_parse_content,
    parse_chat_completion,
    parse_function_tool_arguments,
)
from llama_async.types.chat import chat_completion as whole

from . import _events as events
from ._snapshot import GrowingJson, GrowingMessage, first_choice, first_snapshot, partial_json, with_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from llama_async._types import Omit
    from llama_async.types.chat import (
        ChatCompletionChunk,
        ChatCompletionTokenLogprob,
        ChatCompletionToolUnionParam,
        ParsedChatCompletion,
        ParsedFunctionToolCall,
    )
    from llama_async.types.chat.chat_completion_chunk import Choice
    from llama_async.types.chat.completion_create_params import ResponseFormat

    from ._events import ChatCompletionStreamEvent
    from ._types import ParsedChatCompletionSnapshot, ParsedChoiceSnapshot

__all__ = ["ChatCompletionStreamState"]


class _Builders(NamedTuple):
    chunk: Any
    content_delta: Any
    refusal_delta: Any
    arguments_delta: Any


@lru_cache(maxsize=1)
def _builders() -> _Builders:
    return _Builders(
        chunk=make_builder(events.ChunkEvent, type="chunk"),
        content_delta=make_builder(events.ContentDeltaEvent, type="content.delta"),
        refusal_delta=make_builder(events.RefusalDeltaEvent, type="refusal.delta"),
        arguments_delta=make_builder(
            events.FunctionToolCallArgumentsDeltaEvent, type="tool_calls.function.arguments.delta"
        ),
    )


class _Progress:
    """How far one choice has come: what was merged, what was read of its JSON, which of its parts are done."""

    __slots__ = ("arguments", "content", "current_call", "done", "done_calls", "message")

    def __init__(self) -> None:
        self.message = GrowingMessage()
        self.content = GrowingJson()
        self.arguments: dict[int, GrowingJson] = {}
        self.done: set[str] = set()
        self.done_calls: set[int] = set()
        self.current_call: int | None = None


class ChatCompletionStreamState(Generic[ResponseFormatT]):
    """Accumulates the chunks of `create(stream=True)`, for where `stream()` itself cannot be used.

    Args:
        input_tools: The tools that may be called.
        response_format: What the content is: a class to make it an instance of; others change nothing.
    """

    def __init__(
        self,
        *,
        input_tools: Iterable[ChatCompletionToolUnionParam] | Omit = omit,
        response_format: type[ResponseFormatT] | ResponseFormat | Omit = omit,
    ) -> None:
        self._input_tools = materialize_input_tools(input_tools) or []
        self._response_format = response_format
        self._class: type[ResponseFormatT] | Omit = response_format if inspect.isclass(response_format) else omit
        self._is_parsed = has_parseable_input(response_format=response_format, input_tools=self._input_tools)
        self._snapshot: ParsedChatCompletionSnapshot | None = None
        self._progress: list[_Progress] = []
        # Somebody has the snapshot and may look at it without asking us: from then on it is kept complete.
        self._is_watched = not self._is_parsed
        self._build = _builders()

    @property
    def current_completion_snapshot(self) -> ParsedChatCompletionSnapshot:
        """The answer so far; there must have been a chunk. The same object each time, which goes on growing."""
        assert self._snapshot is not None, "no chunk has come yet"
        if not self._is_watched:
            self._is_watched = True
            for choice, progress in zip(self._snapshot.choices, self._progress, strict=False):
                _read_stale(choice, progress)
        return self._snapshot

    def get_final_completion(self) -> ParsedChatCompletion[ResponseFormatT]:
        """Return the answer with its content and arguments parsed. Whether it is complete is the caller's to know.

        Raises:
            LengthFinishReasonError: An answer ended by its length.
            ContentFilterFinishReasonError: An answer was ended by a content filter.
            pydantic.ValidationError: A content does not fit the class, or arguments not theirs.
        """
        return parse_chat_completion(
            chat_completion=self.current_completion_snapshot,
            response_format=self._class,
            input_tools=self._input_tools,
        )

    def handle_chunk(self, chunk: ChatCompletionChunk) -> Iterable[ChatCompletionStreamEvent[ResponseFormatT]]:
        """Add a chunk and return the events it makes.

        Raises:
            LengthFinishReasonError: An answer that is to be parsed ended by its length.
            ContentFilterFinishReasonError: It was ended by a content filter.
            ValueError: What is to be parsed is not JSON, or (pydantic.ValidationError) does not fit its class.
            IndexError: A choice came before one with a smaller index.
        """
        snapshot = self._snapshot
        if snapshot is None:
            self._snapshot = snapshot = first_snapshot(chunk)
            self._progress = [_Progress() for _ in snapshot.choices]
        else:
            for part in chunk.choices:
                self._accumulate(snapshot, part)
            _update_head(snapshot, chunk)
        if self._is_watched:
            made: list[Any] = [self._build.chunk(chunk=chunk, snapshot=snapshot)]
        else:
            made = [events.defer(events.ChunkEvent, self._watch, type="chunk", chunk=chunk)]
        for part in chunk.choices:
            choice, progress = snapshot.choices[part.index], self._progress[part.index]
            self._add_deltas(made, part, choice, progress)
            self._add_dones(made, part, choice, progress)
        return made

    def _watch(self) -> ParsedChatCompletionSnapshot:
        return self.current_completion_snapshot

    # -- accumulating

    def _accumulate(self, snapshot: ParsedChatCompletionSnapshot, part: Choice) -> None:
        index = part.index
        if index < len(snapshot.choices):
            choice, progress = snapshot.choices[index], self._progress[index]
            choice.__dict__["message"] = progress.message.merge(choice.message, part.delta)
            # The new message has not been read at all.
            progress.content.is_stale = False
        elif index == len(snapshot.choices):
            choice, progress = first_choice(part), _Progress()
            snapshot.choices.append(choice)
            self._progress.append(progress)
        else:
            raise IndexError(f"a chunk holds choice {index}, but choice {len(snapshot.choices)} has not come yet")
        if part.finish_reason:
            choice.finish_reason = part.finish_reason
            if self._is_parsed and part.finish_reason == "length":
                raise LengthFinishReasonError(completion=self.current_completion_snapshot)
            if self._is_parsed and part.finish_reason == "content_filter":
                raise ContentFilterFinishReasonError(completion=self.current_completion_snapshot)
        if self._is_parsed:
            self._read(choice, part, progress)
        if part.logprobs is not None:
            _add_logprobs(choice, part)

    def _read(self, choice: ParsedChoiceSnapshot, part: Choice, progress: _Progress) -> None:
        """Read the JSON that has grown, if its time has come."""
        message = choice.message
        content = message.content
        # White space alone says nothing yet, and cannot be read.
        is_json = self._class is not omit and content and not message.refusal and content.lstrip()
        if is_json and (progress.content.grow(len(content or "")) or self._is_watched):
            _read_stale_content(choice, progress)
        for call_part in part.delta.tool_calls or ():
            call = (message.tool_calls or [])[call_part.index]
            if self._is_strict(call) and call.function.arguments:
                arguments = progress.arguments.setdefault(call_part.index, GrowingJson())
                if arguments.grow(len(call.function.arguments)) or self._is_watched:
                    _read_stale_arguments(choice, progress, call_part.index)

    def _is_strict(self, call: ParsedFunctionToolCall) -> bool:
        if not _is_function(call):
            return False
        tool = get_input_tool_by_name(input_tools=self._input_tools, name=call.function.name)
        return tool is not None and bool(tool["function"].get("strict"))

    # -- events

    def _add_deltas(self, made: list[Any], part: Choice, choice: ParsedChoiceSnapshot, progress: _Progress) -> None:
        delta, message = part.delta, choice.message
        if delta.content is not None and message.content is not None:
            fields: dict[str, Any] = {"delta": delta.content, "snapshot": message.content}
            if progress.content.is_stale:
                read = partial(partial_json, message.content)
                made.append(events.defer(events.ContentDeltaEvent, read, type="content.delta", **fields))
            else:
                made.append(self._build.content_delta(**fields, parsed=message.parsed))
        if delta.refusal is not None and message.refusal is not None:
            made.append(self._build.refusal_delta(delta=delta.refusal, snapshot=message.refusal))
        for call_part in delta.tool_calls or ():
            made.extend(self._call_delta(call_part, choice, progress))
        if part.logprobs is not None and choice.logprobs is not None:
            if part.logprobs.content and choice.logprobs.content:
                made.append(_logprobs_delta(events.LogprobsContentDeltaEvent, "content", part, choice))
            if part.logprobs.refusal and choice.logprobs.refusal:
                made.append(_logprobs_delta(events.LogprobsRefusalDeltaEvent, "refusal", part, choice))

    def _call_delta(self, part: Any, choice: ParsedChoiceSnapshot, progress: _Progress) -> Iterator[Any]:
        call = (choice.message.tool_calls or [])[part.index]
        if not _is_function(call):
            return
        fields: dict[str, Any] = {
            "type": "tool_calls.function.arguments.delta",
            "name": call.function.name,
            "index": part.index,
            "arguments": call.function.arguments,
            "arguments_delta": part.function.arguments or "",
        }
        growing = progress.arguments.get(part.index)
        if growing is not None and growing.is_stale:
            read = partial(partial_json, call.function.arguments)
            yield events.defer(events.FunctionToolCallArgumentsDeltaEvent, read, **fields)
        else:
            yield self._build.arguments_delta(**fields, parsed_arguments=call.function.parsed_arguments)

    def _add_dones(self, made: list[Any], part: Choice, choice: ParsedChoiceSnapshot, progress: _Progress) -> None:
        if choice.finish_reason:
            self._add_content_done(made, choice, progress)
            self._add_call_done(made, choice, progress)
        for call_part in part.delta.tool_calls or ():
            if call_part.index != progress.current_call:
                self._add_content_done(made, choice, progress)
                self._add_call_done(made, choice, progress)
            progress.current_call = call_part.index

    def _add_content_done(self, made: list[Any], choice: ParsedChoiceSnapshot, progress: _Progress) -> None:
        message, logprobs, done = choice.message, choice.logprobs, progress.done
        if message.content and "content" not in done:
            done.add("content")
            parsed = maybe_parse_content(response_format=self._response_format, message=message)
            message.parsed = parsed
            progress.content.is_stale = False
            made.append(build(events.ContentDoneEvent, type="content.done", content=message.content, parsed=parsed))
        if message.refusal is not None and "refusal" not in done:
            done.add("refusal")
            made.append(build(events.RefusalDoneEvent, type="refusal.done", refusal=message.refusal))
        if logprobs is None:
            return
        if logprobs.content is not None and "logprobs.content" not in done:
            done.add("logprobs.content")
            content = list(logprobs.content)
            made.append(build(events.LogprobsContentDoneEvent, type="logprobs.content.done", content=content))
        if logprobs.refusal is not None and "logprobs.refusal" not in done:
            done.add("logprobs.refusal")
            refusal = list(logprobs.refusal)
            made.append(build(events.LogprobsRefusalDoneEvent, type="logprobs.refusal.done", refusal=refusal))

    def _add_call_done(self, made: list[Any], choice: ParsedChoiceSnapshot, progress: _Progress) -> None:
        index = progress.current_call
        if index is None or index in progress.done_calls:
            return
        progress.done_calls.add(index)
        calls = choice.message.tool_calls or []
        call = calls[index]
        if not _is_function(call):
            return
        parsed = parse_function_tool_arguments(input_tools=self._input_tools, function=call.function)
        calls[index] = with_arguments(call, parsed)
        if index in progress.arguments:
            progress.arguments[index].is_stale = False
        made.append(
            build(
                events.FunctionToolCallArgumentsDoneEvent,
                type="tool_calls.function.arguments.done",
                name=call.function.name,
                index=index,
                arguments=call.function.arguments,
                parsed_arguments=parsed,
            )
        )


def _is_function(call: ParsedFunctionToolCall) -> bool:
    # Its type says so, but a call that did not fit its type was taken as it came.
    kind: str = call.type
    return kind == "function"


def _update_head(snapshot: ParsedChatCompletionSnapshot, chunk: ChatCompletionChunk) -> None:
    content = snapshot.__dict__
    content["usage"] = chunk.usage
    content["system_fingerprint"] = chunk.system_fingerprint
    snapshot.model_fields_set.update(("usage", "system_fingerprint"))
    if chunk.moderation is not None:
        moderation: dict[str, Any] = chunk.moderation.to_dict(warnings=False)
        snapshot.moderation = whole.Moderation.construct(**moderation)


def _add_logprobs(choice: ParsedChoiceSnapshot, part: Choice) -> None:
    assert part.logprobs is not None
    content, refusal = part.logprobs.content, part.logprobs.refusal
    if choice.logprobs is None:
        choice.logprobs = build(
            whole.ChoiceLogprobs,
            content=None if content is None else list(content),
            refusal=None if refusal is None else list(refusal),
        )
        return
    if content:
        choice.logprobs.content = _extended(choice.logprobs.content, content)
    if refusal:
        choice.logprobs.refusal = _extended(choice.logprobs.refusal, refusal)


def _extended(
    entries: list[ChatCompletionTokenLogprob] | None, more: list[ChatCompletionTokenLogprob]
) -> list[ChatCompletionTokenLogprob]:
    # In place, for it may be long.
    entries = [] if entries is None else entries
    entries.extend(more)
    return entries


def _logprobs_delta(
    event: type[events.LogprobsContentDeltaEvent | events.LogprobsRefusalDeltaEvent],
    name: str,
    part: Choice,
    choice: ParsedChoiceSnapshot,
) -> events.DeferringEvent:
    entries: list[ChatCompletionTokenLogprob] = getattr(choice.logprobs, name)
    n_entries = len(entries)
    fields: dict[str, Any] = {name: getattr(part.logprobs, name)}
    return events.defer(event, lambda: entries[:n_entries], type=f"logprobs.{name}.delta", **fields)


def _read_stale(choice: ParsedChoiceSnapshot, progress: _Progress) -> None:
    # What is no JSON is the next chunk's error; a look at the answer so far is not where anybody expects it.
    with suppress(ValueError):
        _read_stale_content(choice, progress)
    for index in progress.arguments:
        with suppress(ValueError):
            _read_stale_arguments(choice, progress, index)


def _read_stale_content(choice: ParsedChoiceSnapshot, progress: _Progress) -> None:
    if progress.content.is_stale:
        progress.content.is_stale = False
        choice.message.parsed = partial_json(choice.message.content or "")


def _read_stale_arguments(choice: ParsedChoiceSnapshot, progress: _Progress, index: int) -> None:
    growing = progress.arguments[index]
    if growing.is_stale:
        function = (choice.message.tool_calls or [])[index].function
        growing.is_stale = False
        function.parsed_arguments = partial_json(function.arguments)
