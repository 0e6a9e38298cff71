"""What `chat.completions.stream()` yields: one class an event, told apart by `type`.

Names, fields and their order are openai 3.54.0's. Reading partial JSON from its start at every chunk, or copying a list
that grows, takes time that is quadratic in the answer's length; so what such a field holds is worked out when somebody
looks at it. To whoever does, it has been there all the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, TypeVar, cast

import pydantic
from typing_extensions import Self

from llama_async._models import BaseModel, GenericModel, assemble
from llama_async.lib._parsing import ResponseFormatT
from llama_async.types.chat import ChatCompletionChunk, ChatCompletionTokenLogprob

from ._types import ParsedChatCompletionSnapshot

if TYPE_CHECKING:
    from pydantic_core.core_schema import SerializerFunctionWrapHandler

__all__ = [
    "ChatCompletionStreamEvent",
    "ChunkEvent",
    "ContentDeltaEvent",
    "ContentDoneEvent",
    "DeferringEvent",
    "FunctionToolCallArgumentsDeltaEvent",
    "FunctionToolCallArgumentsDoneEvent",
    "LogprobsContentDeltaEvent",
    "LogprobsContentDoneEvent",
    "LogprobsRefusalDeltaEvent",
    "LogprobsRefusalDoneEvent",
    "RefusalDeltaEvent",
    "RefusalDoneEvent",
    "defer",
]


class DeferringEvent(BaseModel):
    """An event with a field that is worked out when it is first looked at, however that happens."""

    deferred: ClassVar[str]
    """The field's name."""

    def _complete(self) -> None:
        # pydantic reads an instance's dictionary, not its attributes, wherever it compares, copies, shows or dumps.
        content = self.__dict__
        if self.deferred not in content:
            work_out = cast("Mapping[str, Callable[[], object]]", self.__pydantic_private__)[self.deferred]
            content[self.deferred] = work_out()
            for name in type(self).model_fields:
                content[name] = content.pop(name)
            object.__setattr__(self, "__pydantic_private__", None)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name == type(self).deferred:
                self._complete()
                return self.__dict__[name]
            return super().__getattr__(name)

    @pydantic.model_serializer(mode="wrap")
    def _dump_complete(self, handler: SerializerFunctionWrapHandler) -> Any:
        self._complete()
        return handler(self)

    def __eq__(self, other: object) -> bool:
        for event in (self, other):
            if isinstance(event, DeferringEvent):
                event._complete()
        return super().__eq__(other)

    # As every pydantic class that can be changed.
    __hash__ = None  # type: ignore[assignment]

    def __repr_args__(self) -> Any:
        self._complete()
        return super().__repr_args__()

    def __iter__(self) -> Iterator[tuple[str, Any]]:  # type: ignore[override]
        self._complete()
        return super().__iter__()

    def __getstate__(self) -> dict[Any, Any]:
        self._complete()
        return super().__getstate__()

    def __copy__(self) -> Self:
        self._complete()
        return super().__copy__()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        self._complete()
        return super().__deepcopy__(memo)


_EventT = TypeVar("_EventT", bound=DeferringEvent)


def defer(event: type[_EventT], work_out: Callable[[], object], /, **fields: Any) -> _EventT:
    """Make an event whose deferred field is worked out when it is looked at.

    Args:
        event: Its class.
        work_out: Returns the field. It is called at most once, unless it raises.
        fields: All others.
    """
    made = assemble(event, fields, {*fields, event.deferred}, {})
    object.__setattr__(made, "__pydantic_private__", {event.deferred: work_out})
    return made


class ChunkEvent(DeferringEvent):
    """Every chunk, and the answer so far."""

    deferred = "snapshot"

    type: Literal["chunk"]

    chunk: ChatCompletionChunk

    snapshot: ParsedChatCompletionSnapshot
    """The same object in all events of a stream."""


class ContentDeltaEvent(DeferringEvent):
    """A choice's content grew."""

    deferred = "parsed"

    type: Literal["content.delta"]

    delta: str

    snapshot: str
    """The content so far."""

    parsed: object | None = None
    """What the JSON so far says, if a class was given as response format."""


class ContentDoneEvent(GenericModel, Generic[ResponseFormatT]):
    """A choice's content is complete."""

    type: Literal["content.done"]

    content: str

    parsed: ResponseFormatT | None = None
    """An instance of the class given as response format."""


class RefusalDeltaEvent(BaseModel):
    """A choice's refusal grew."""

    type: Literal["refusal.delta"]

    delta: str

    snapshot: str
    """The refusal so far."""


class RefusalDoneEvent(BaseModel):
    """A choice's refusal is complete."""

    type: Literal["refusal.done"]

    refusal: str


class FunctionToolCallArgumentsDeltaEvent(DeferringEvent):
    """The arguments of a call grew."""

    deferred = "parsed_arguments"

    type: Literal["tool_calls.function.arguments.delta"]

    name: str

    index: int

    arguments: str
    """Their JSON text so far."""

    parsed_arguments: object
    """What it says so far, if the tool is strict."""

    arguments_delta: str
    """What this chunk added to the text."""


class FunctionToolCallArgumentsDoneEvent(BaseModel):
    """The arguments of a call are complete."""

    type: Literal["tool_calls.function.arguments.done"]

    name: str

    index: int

    arguments: str
    """Their JSON text."""

    parsed_arguments: object
    """An instance of the tool's class, or what the JSON text of a strict tool says."""


class LogprobsContentDeltaEvent(DeferringEvent):
    """A choice's content got more log probabilities."""

    deferred = "snapshot"

    type: Literal["logprobs.content.delta"]

    content: list[ChatCompletionTokenLogprob]

    snapshot: list[ChatCompletionTokenLogprob]
    """All so far."""


class LogprobsContentDoneEvent(BaseModel):
    """The log probabilities of a choice's content are complete."""

    type: Literal["logprobs.content.done"]

    content: list[ChatCompletionTokenLogprob]


class LogprobsRefusalDeltaEvent(DeferringEvent):
    """A choice's refusal got more log probabilities."""

    deferred = "snapshot"

    type: Literal["logprobs.refusal.delta"]

    refusal: list[ChatCompletionTokenLogprob]

    snapshot: list[ChatCompletionTokenLogprob]
    """All so far."""


class LogprobsRefusalDoneEvent(BaseModel):
    """The log probabilities of a choice's refusal are complete."""

    type: Literal["logprobs.refusal.done"]

    refusal: list[ChatCompletionTokenLogprob]


ChatCompletionStreamEvent: TypeAlias = (
    ChunkEvent
    | ContentDeltaEvent
    | ContentDoneEvent[ResponseFormatT]
    | RefusalDeltaEvent
    | RefusalDoneEvent
    | FunctionToolCallArgumentsDeltaEvent
    | FunctionToolCallArgumentsDoneEvent
    | LogprobsContentDeltaEvent
    | LogprobsContentDoneEvent
    | LogprobsRefusalDeltaEvent
    | LogprobsRefusalDoneEvent
)
