"""`create(store=True)`: what is kept of an answer, whole or streamed, and when.

A whole answer is stored when it is there, a stream when its last choice has ended, and once more with its usage when
the stream is read to its end. What is cancelled, fails, or is left before is not stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pydantic

from ._assemble import usage_of
from ._errors import OpenAIError
from ._stream import AsyncStream
from .lib.streaming._deltas import accumulate_delta
from .types.chat import ChatCompletion, ChatCompletionChunk

if TYPE_CHECKING:
    from ._assemble import ChatAssembler
    from ._generation import End, Generation
    from ._models import BaseModel
    from .types.chat import chat_completion_chunk as part

__all__ = ["Keep", "RecordedStream"]

Keep = Callable[[ChatCompletion], None]


class RecordedStream(AsyncStream[ChatCompletionChunk]):
    """A stream whose answer is kept.

    Args:
        n_choices: How many choices the answer has.
        keep: Called with the answer; must not block.
    """

    def __init__(
        self, *, generation: Generation, assembler: ChatAssembler, client: object, n_choices: int, keep: Keep
    ) -> None:
        super().__init__(generation=generation, assembler=assembler, client=client)
        self._record = _Record(n_choices)
        self._keep: Keep | None = keep

    async def __anext__(self) -> ChatCompletionChunk:
        try:
            chunk = await super().__anext__()
        except StopAsyncIteration:
            keep, self._keep = self._keep, None
            if keep is not None:
                keep(self._record.completion(self._generation.end))
            raise
        except OpenAIError:
            # It ends like any other stream when it is read on.
            self._keep = None
            raise
        if self._keep is not None and self._record.add(chunk):
            # Many a reader leaves when it sees the finish reason.
            self._keep(self._record.completion(None))
        return chunk


class _Record:
    """Chunks put together again."""

    def __init__(self, n_choices: int) -> None:
        self._n_choices = n_choices
        self._head: dict[str, Any] = {}
        self._usage: Any = None
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: ChatCompletionChunk) -> bool:
        """Take a chunk; return whether the answer's last choice ended with it."""
        if not self._head:
            names = ("id", "created", "model", "service_tier", "system_fingerprint")
            self._head = {name: getattr(chunk, name) for name in names}
        if chunk.usage is not None:
            self._usage = chunk.usage
        has_finish = False
        for choice in chunk.choices:
            if choice.index not in self._choices:
                self._choices[choice.index] = _Choice()
            self._choices[choice.index].add(choice)
            has_finish = has_finish or choice.finish_reason is not None
        ended = [choice for choice in self._choices.values() if choice.finish_reason is not None]
        return has_finish and len(ended) == self._n_choices

    def completion(self, end: End | None) -> ChatCompletion:
        """Return the answer; its usage is known only at the end."""
        choices = [self._choices[index].whole(index) for index in sorted(self._choices)]
        fields: dict[str, Any] = {**self._head, "object": "chat.completion", "choices": choices}
        usage = usage_of(end) if self._usage is None and end is not None else self._usage
        if usage is not None:
            fields["usage"] = usage
        return ChatCompletion.construct(**fields)


class _Choice:
    """One choice's deltas put together again."""

    def __init__(self) -> None:
        self.finish_reason: str | None = None
        self._texts: dict[str, list[str]] = {}
        self._other: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        self._tool_calls: dict[int, dict[str, Any]] = {}
        self._logprobs: dict[str, list[Any]] | None = None

    def add(self, choice: part.Choice) -> None:
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
        if choice.logprobs is not None:
            logprobs = self._logprobs = self._logprobs or {}
            for name, entries in _fields(choice.logprobs).items():
                if entries:
                    logprobs.setdefault(name, []).extend(entries)
        for name, value in _fields(choice.delta).items():
            if name == "tool_calls":
                for call in value or ():
                    fields = call.model_dump(exclude={"index"}, exclude_unset=True, exclude_none=True, warnings=False)
                    accumulate_delta(self._tool_calls.setdefault(call.index, {}), fields)
            elif name != "role" and isinstance(value, str):
                self._texts.setdefault(name, []).append(value)
            elif isinstance(value, pydantic.BaseModel):
                fields = value.model_dump(exclude_unset=True, exclude_none=True, warnings=False)
                self._other[name] = accumulate_delta(self._other.get(name) or {}, fields)
            elif value is not None:
                self._other[name] = value

    def whole(self, index: int) -> dict[str, Any]:
        message = {**self._other, **{name: "".join(texts) for name, texts in self._texts.items()}}
        if self._tool_calls:
            message["tool_calls"] = [self._tool_calls[n] for n in sorted(self._tool_calls)]
        logprobs = None if self._logprobs is None else {"content": None, "refusal": None, **self._logprobs}
        return {"finish_reason": self.finish_reason, "index": index, "logprobs": logprobs, "message": message}


def _fields(model: BaseModel) -> dict[str, Any]:
    return {**model.__dict__, **(model.model_extra or {})}
