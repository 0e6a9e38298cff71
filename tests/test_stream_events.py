"""Streams of events, blocking and awaited; their fields that are worked out late; the same surface as `openai`'s."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pydantic
import pytest
from stream_chunks import (
    OURS,
    THEIRS,
    USAGE,
    WEATHER,
    Json,
    Weather,
    call,
    called,
    chunk,
    content,
    end,
    failure,
    letters,
    logprobs,
    opening,
    part,
    shape,
    with_all,
)

import llama_async
import llama_async.lib.streaming.chat._snapshot

# -- streams -----------------------------------------------------------------------------------------------------------


class RawStream:
    """Chunks as a stream has them; an exception among them is raised."""

    def __init__(self, items: list[Any]) -> None:
        self.items = iter(items)
        self.n_closed = 0
        # The reference closes the response, ours the stream.
        self.response = SimpleNamespace(close=self.close, aclose=self.aclose)

    def __iter__(self) -> RawStream:
        return self

    def __next__(self) -> Any:
        item = next(self.items)
        if isinstance(item, BaseException):
            raise item
        return item

    def __aiter__(self) -> RawStream:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    def close(self) -> None:
        self.n_closed += 1

    async def aclose(self) -> None:
        self.n_closed += 1


class AsyncRawStream(RawStream):
    async def close(self) -> None:  # type: ignore[override]
        self.n_closed += 1


def awaited(coroutine: Any) -> Any:
    """Run a coroutine that never really waits."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def unwatched(chunk_: Json) -> Json:
    return {**chunk_, "object": ""}


def drive(api: Any, data: list[Any], options: Json) -> Any:
    """Return what both kinds of streams show of the same chunks."""
    items = [api.Chunk.construct(**item) if isinstance(item, dict) else item for item in data]
    options = {"response_format": api.root.omit, "input_tools": api.root.omit, **options}

    raw = RawStream(items)
    seen: list[Any] = []
    with api.chat.ChatCompletionStreamManager(lambda: raw, **options) as stream:
        seen += failure(lambda: [shape(event) for event in [next(stream)]])
        seen += [
            failure(lambda: shape(stream.current_completion_snapshot)),
            failure(lambda: stream.until_done() is stream),
        ]
        seen += [failure(lambda: next(stream, None)), failure(lambda: shape(stream.get_final_completion()))]
        seen.append(raw.n_closed)
    blocking = [*seen, raw.n_closed, failure(lambda: shape(stream.get_final_completion()))]

    async def run() -> list[Any]:
        raw = AsyncRawStream(items)

        async def request() -> Any:
            return raw

        async def check(call: Callable[[], Any]) -> Any:
            try:
                return shape(await call())
            except Exception as error:
                return (type(error).__name__, shape(getattr(error, "completion", None)))

        seen: list[Any] = []
        async with api.chat.AsyncChatCompletionStreamManager(request(), **options) as stream:
            seen.append(await check(stream.__anext__))
            seen.append(failure(lambda: shape(stream.current_completion_snapshot)))
            seen += [await check(lambda: events(stream)), await check(lambda: until_done(stream))]
            seen += [await check(stream.get_final_completion), raw.n_closed]
        return [*seen, raw.n_closed, await check(stream.get_final_completion)]

    async def events(stream: Any) -> list[Any]:
        return [shape(event) async for event in stream]

    async def until_done(stream: Any) -> bool:
        return await stream.until_done() is stream

    return blocking, awaited(run())


@pytest.mark.parametrize("options", [{}, {"response_format": Weather}], ids=["text", "class"])
@pytest.mark.parametrize(
    "data",
    [
        [opening(), *letters("Hello."), end()],
        [opening(), *letters(WEATHER), end(), chunk(usage=USAGE)],
        [opening(), *letters(WEATHER), end("length")],
        [opening(), *letters('{"city": 1}'), end()],
        [unwatched(opening()), opening(), unwatched(content("x")), content("{"), content("}")],
        [opening(), content("{"), ValueError("in the middle"), content("}"), end()],
        [ValueError("at the start"), opening(), end()],
        [],
    ],
    ids=["text", "json", "cut", "misfit", "other objects", "error", "error at the start", "empty"],
)
def test_streams_equal_the_reference(data: list[Any], options: Json) -> None:
    assert drive(OURS, data, options) == drive(THEIRS, data, options)


def test_leaving_a_loop_early_closes_nothing() -> None:
    raw = RawStream([OURS.Chunk.construct(**item) for item in [opening(), content("a"), content("b"), end()]])
    stream = OURS.chat.ChatCompletionStream(
        raw_stream=raw, response_format=llama_async.omit, input_tools=llama_async.omit
    )
    for event in stream:
        if event.type == "content.delta" and event.delta == "a":
            break
    assert [event.delta for event in stream if event.type == "content.delta"] == ["b"]
    assert raw.n_closed == 0
    with stream:
        pass
    assert raw.n_closed == 1


# -- what is worked out late -------------------------------------------------------------------------------------------


def late_events() -> list[Any]:
    """Events whose deferred field nobody has looked at, one of each class."""
    state = OURS.chat.ChatCompletionStreamState(**with_all(OURS))
    data = [
        opening(),
        content('{"a": "' + "x" * 1200),
        content("y", logprobs=logprobs("y")),
        chunk(part({"refusal": "n"}, logprobs=logprobs(None, "n"))),
        called(0, "strict", '{"a": "' + "x" * 1200),
        call(0, "y"),
    ]
    made: dict[str, Any] = {}
    for item in data:
        for event in state.handle_chunk(OURS.Chunk.construct(**item)):
            if isinstance(event, OURS.events.DeferringEvent) and type(event).deferred not in vars(event):
                made[event.type] = event
    return list(made.values())


_N_LATE = 5
_WAYS_TO_LOOK: list[Callable[[Any], Any]] = [
    lambda event: event.to_dict(warnings=False),
    lambda event: event.to_json(warnings=False),
    lambda event: event.model_dump(mode="json", warnings=False),
    lambda event: pydantic.TypeAdapter(dict[str, Any]).dump_python({"event": event}),
    repr,
    str,
    lambda event: event == copy.deepcopy(event),
    lambda event: type(event).construct(**dict.fromkeys(type(event).model_fields)) == event,
    dict,
    copy.copy,
    lambda event: event.model_copy(),
    lambda event: event.__getstate__()["__dict__"],
    lambda event: getattr(event, type(event).deferred),
]


@pytest.mark.parametrize("index", range(_N_LATE))
@pytest.mark.parametrize("look", _WAYS_TO_LOOK)
def test_deferred_field_is_there_however_one_looks(look: Callable[[Any], Any], index: int) -> None:
    events = late_events()
    assert len(events) == _N_LATE
    event, same = events[index], late_events()[index]
    seen = look(event)
    assert list(vars(event)) == list(type(event).model_fields)
    getattr(same, type(same).deferred)
    assert shape(event) == shape(same)
    if isinstance(seen, type(event)):
        assert shape(seen) == shape(same)
    elif not isinstance(seen, bool):
        assert seen == look(same)


def test_events_equal_only_what_they_equal() -> None:
    assert late_events() == late_events()
    first, second, *_ = late_events()
    assert first != second
    assert first != "something else"
    with pytest.raises(TypeError):
        hash(first)
    assert not hasattr(first, "no_such_field")


def test_events_can_be_made_and_validated_by_hand() -> None:
    for api in (OURS, THEIRS):
        event = api.events.ContentDeltaEvent(type="content.delta", delta="a", snapshot="ab", parsed={"x": 1})
        assert api.events.ContentDeltaEvent.model_validate(event.to_dict()) == event
        assert api.events.ContentDeltaEvent(type="content.delta", delta="a", snapshot="ab").parsed is None
        with pytest.raises(pydantic.ValidationError):
            api.events.ContentDeltaEvent(type="other", delta="a", snapshot="ab")


def test_reading_partial_json_takes_linear_time_if_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    n_read = 0
    read = llama_async.lib.streaming.chat._snapshot.from_json

    def count(text: bytes, **options: Any) -> Any:
        nonlocal n_read
        n_read += len(text)
        return read(text, **options)

    monkeypatch.setattr(llama_async.lib.streaming.chat._snapshot, "from_json", count)
    text = json.dumps({"city": "x", "degrees": 1, "notes": [f"note {index}" for index in range(2000)]})
    for data in (
        [opening(), *(content(text[i : i + 4]) for i in range(0, len(text), 4)), end()],
        [opening(), called(0, "weather"), *(call(0, text[i : i + 4]) for i in range(0, len(text), 4)), end()],
    ):
        n_read = 0
        state = OURS.chat.ChatCompletionStreamState(**with_all(OURS))
        for item in data:
            state.handle_chunk(OURS.Chunk.construct(**item))
        assert 0 < n_read < 12 * len(text) + 1024 * 256


# -- the same surface --------------------------------------------------------------------------------------------------


def test_exports_equal_the_reference() -> None:
    theirs = {
        name for name, value in vars(THEIRS.chat).items() if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert set(OURS.chat.__all__) == theirs
    for name in theirs:
        assert hasattr(OURS.chat, name)


@pytest.mark.parametrize("name", [name for name in vars(THEIRS.events) if name.endswith("Event")])
def test_event_has_the_same_fields(name: str) -> None:
    ours, theirs = getattr(OURS.events, name), getattr(THEIRS.events, name)
    if name == "ChatCompletionStreamEvent":
        assert [cls.__name__ for cls in ours.__args__] == [cls.__name__ for cls in theirs.__args__]
        return
    assert list(ours.model_fields) == list(theirs.model_fields)
    for key, field in theirs.model_fields.items():
        mine = ours.model_fields[key]
        assert (mine.is_required(), mine.default) == (field.is_required(), field.default)
        assert plain_type(mine.annotation) == plain_type(field.annotation)


def plain_type(annotation: Any) -> str:
    text = str(annotation).replace("openai.", "llama_async.").replace("typing.", "").replace("List[", "list[")
    return text.replace(" | None", "").removeprefix("Optional[").rstrip("]").replace("~", "")


CLASSES = [
    *("AsyncChatCompletionStream", "AsyncChatCompletionStreamManager", "ChatCompletionStream"),
    *("ChatCompletionStreamManager", "ChatCompletionStreamState"),
]


@pytest.mark.parametrize("name", CLASSES)
def test_class_has_the_same_methods(name: str) -> None:
    ours, theirs = getattr(OURS.chat, name), getattr(THEIRS.chat, name)
    known = (
        "__init__",
        "__enter__",
        "__exit__",
        "__aenter__",
        "__aexit__",
        "__next__",
        "__anext__",
        "__iter__",
        "__aiter__",
    )
    for member, value in inspect.getmembers(theirs):
        if member.startswith("_") and member not in known:
            continue
        assert isinstance(value, property) == isinstance(getattr(ours, member), property)
        if inspect.isfunction(value):
            expected, actual = (inspect.signature(each).parameters for each in (value, getattr(ours, member)))
            assert [(p.name, p.kind) for p in actual.values()] == [(p.name, p.kind) for p in expected.values()]
            if member not in {"__aiter__", "__iter__"}:
                assert inspect.iscoroutinefunction(value) == inspect.iscoroutinefunction(getattr(ours, member))
    assert {key for key in dir(ours) if not key.startswith("_")} == {
        key for key in dir(theirs) if not key.startswith("_")
    }
