"""Events and snapshots of streams equal those of the pinned `openai`, chunk by chunk.

Both get the same chunks: from our engine, made by hand for what it does not do yet, and random ones.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import openai.lib.streaming._deltas
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_chunks import (
    OPTIONS,
    OURS,
    POINT,
    THEIRS,
    USAGE,
    WEATHER,
    Json,
    Point,
    call,
    called,
    chunk,
    content,
    dump,
    end,
    failure,
    letters,
    logprobs,
    no_options,
    opening,
    part,
    shape,
    with_tools,
)
from support import QUESTION, stats, until

from llama_async import AsyncLlama
from llama_async.lib.streaming._deltas import accumulate_delta

ONLY_ASYNCIO = True


# -- comparison --------------------------------------------------------------------------------------------------------


def at_once(state: Any, chunks: list[Any]) -> Iterator[Any]:
    for item in chunks:
        yield [shape(event) for event in state.handle_chunk(item)]


def only_dumped(state: Any, chunks: list[Any]) -> Iterator[Any]:
    for item in chunks:
        yield [dump(event) for event in state.handle_chunk(item)]


def at_the_end(state: Any, chunks: list[Any]) -> Iterator[Any]:
    events = []
    try:
        for item in chunks:
            events += state.handle_chunk(item)
    finally:
        yield [shape(event) for event in events]


def only_the_snapshot(state: Any, chunks: list[Any]) -> Iterator[Any]:
    for item in chunks:
        state.handle_chunk(item)
        yield shape(state.current_completion_snapshot)


def what_was_held(state: Any, chunks: list[Any]) -> Iterator[Any]:
    """Messages stay as they were, the snapshot and its choices grow."""
    snapshots, messages = [], []
    for position, item in enumerate(chunks):
        state.handle_chunk(item)
        if position % 3 == 1:
            snapshots.append(state.current_completion_snapshot)
            messages += [choice.message for choice in snapshots[-1].choices]
            yield [shape(message) for message in messages]
    yield [shape(snapshot) for snapshot in snapshots]
    yield [shape(message) for message in messages]
    yield len({id(snapshot) for snapshot in snapshots})


def no_more_than_the_end(state: Any, chunks: list[Any]) -> Iterator[Any]:
    for item in chunks:
        state.handle_chunk(item)
    yield shape(state.current_completion_snapshot)


LOOKS = (at_once, only_dumped, at_the_end, only_the_snapshot, what_was_held, no_more_than_the_end)


def observe(api: Any, data: list[Json], options: Callable[[Any], Json], look: Callable[..., Iterator[Any]]) -> Any:
    state = api.chat.ChatCompletionStreamState(**options(api))
    seen: list[Any] = []

    def watch() -> None:
        for item in look(state, [api.Chunk.construct(**copy.deepcopy(item)) for item in data]):
            seen.append(item)  # noqa: PERF402 (what was seen before an error counts)

    return seen, failure(watch), failure(lambda: shape(state.get_final_completion()))


def assert_equal(data: list[Json], options: Callable[[Any], Json], looks: Any = LOOKS) -> None:
    for look in looks:
        assert observe(OURS, data, options, look) == observe(THEIRS, data, options, look), look.__name__


# -- made by hand ------------------------------------------------------------------------------------------------------


LONG = json.dumps({"city": "x" * 700, "degrees": 1, "notes": [f"note {i}" for i in range(120)]})

BY_HAND: dict[str, list[Json]] = {
    "plain": [opening(), *letters("Hello."), end()],
    "usage": [opening(), content("a"), end(), chunk(usage=USAGE)],
    "usage is null before": [chunk(part({"role": "assistant"}), usage=None), content("a"), chunk(usage=USAGE)],
    "no content": [opening(), end()],
    "white space": [opening(), *letters(" \n\t "), content("{"), content("}"), end()],
    "content of the first chunk": [chunk(part({"content": WEATHER, "role": "assistant"})), end()],
    "everything in one chunk": [chunk(part({"content": WEATHER, "role": "assistant"}, finish="stop"))],
    "first chunk has no choices": [chunk(usage=None), opening(), content("{}"), end()],
    "json": [opening(), *letters(WEATHER), end()],
    "json, long": [opening(), *(content(LONG[i : i + 29]) for i in range(0, len(LONG), 29)), end()],
    "json, cut": [opening(), *letters(WEATHER[:30]), end("length")],
    "json, filtered": [opening(), *letters(WEATHER[:30]), end("content_filter")],
    "json, not of the class": [opening(), *letters('{"city": 5}'), end()],
    "json with more behind it": [opening(), content('{"a": 1}'), content(" x"), end()],
    "prose": [opening(), *letters("Once upon"), end()],
    "prose, later": [opening(), content('{"a": '), content("x}"), end()],
    "null content": [opening(), content(None), content("a"), content(None), end()],
    "refusal": [opening(), *(chunk(part({"refusal": text})) for text in ("I", " can", "not")), end()],
    "refusal of the first chunk": [chunk(part({"role": "assistant", "refusal": "no"})), end()],
    "refusal after json": [opening(), *letters('{"a":'), chunk(part({"refusal": "no"})), content(" 1"), end()],
    "logprobs": [
        opening(),
        content("ab", logprobs=logprobs("ab")),
        content("c"),
        content("d", logprobs=logprobs("d", "x")),
        chunk(part({"refusal": "y"}, logprobs=logprobs(None, "y"))),
        content("e", logprobs=logprobs("", "")),
        end(),
    ],
    "logprobs of the first chunk": [chunk(part({"content": "a"}, logprobs=logprobs("a"))), content("b"), end()],
    "logprobs without content": [opening(), content("a", logprobs=logprobs(None)), content("b", logprobs={}), end()],
    "several choices": [
        *(opening(index) for index in range(3)),
        *(content(letter, index) for letter in "abc" for index in (2, 0, 1)),
        *(end("stop", index) for index in (1, 2, 0)),
    ],
    "several choices in a chunk": [
        chunk(part({"role": "assistant", "content": ""}, 0), part({"role": "assistant", "content": ""}, 1)),
        chunk(part({"content": "{"}, 1), part({"content": "["}, 0)),
        chunk(part({"content": "}"}, 1), part({"content": "]"}, 0, "stop")),
        end("stop", 1),
    ],
    "several choices in a chunk, the wrong way round": [
        chunk(part({"content": "b"}, 1), part({"content": "a"}, 0)),
        chunk(part({"content": "d"}, 1), part({"content": "c"}, 0)),
    ],
    "one choice twice in a chunk": [opening(), chunk(part({"content": "a"}), part({"content": "b"})), end()],
    "call": [opening(), called(0, "weather"), *(call(0, letter) for letter in WEATHER), end("tool_calls")],
    "call, all at once": [opening(), called(0, "weather", WEATHER), end("tool_calls")],
    "call, all in the first chunk": [called(0, "strict", POINT), end("tool_calls")],
    "call, strict": [opening(), called(0, "strict"), *(call(0, letter) for letter in POINT), end("tool_calls")],
    "call, long": [
        opening(),
        called(0, "weather"),
        *(call(0, LONG[i : i + 29]) for i in range(0, len(LONG), 29)),
        end("tool_calls"),
    ],
    "call, cut": [opening(), called(0, "strict"), call(0, '{"x": '), end("length")],
    "call, not json": [opening(), called(0, "strict"), call(0, "nonsense"), end("tool_calls")],
    "call, not json at the end": [opening(), called(0, "strict"), call(0, '{"x": 1'), end("tool_calls")],
    "call, not of the class": [opening(), called(0, "weather"), call(0, '{"city": 5}'), end("tool_calls")],
    "call, loose": [opening(), called(0, "loose"), call(0, "any"), call(0, "thing"), end("tool_calls")],
    "call, unstrict": [opening(), called(0, "unstrict"), call(0, "{}"), end("tool_calls")],
    "call, unknown": [opening(), called(0, "unknown"), call(0, "{}"), end("tool_calls")],
    "call without arguments": [opening(), called(0, "strict"), end("tool_calls")],
    "arguments are null": [opening(), called(0, "loose"), call(0, None), call(0, "a"), end("tool_calls")],
    "calls": [
        opening(),
        *letters('{"a": 1}'),
        called(0, "weather", "{"),
        call(0, WEATHER[1:]),
        called(1, "strict"),
        *(call(1, letter) for letter in '{"x": 1}'),
        called(2, "loose", "x"),
        call(2, "y"),
        end("tool_calls"),
    ],
    "calls that alternate": [
        opening(),
        called(0, "strict", "["),
        called(1, "strict", "["),
        *(call(index, "1," * index) for index in (0, 1, 0, 1)),
        *(call(index, "1]") for index in (1, 0, 1)),
        end("tool_calls"),
    ],
    "calls in one chunk": [
        opening(),
        chunk(
            part(
                {
                    "tool_calls": [
                        {"index": 0, "id": "a", "type": "function", "function": {"name": "strict", "arguments": "{"}},
                        {"index": 1, "id": "b", "type": "function", "function": {"name": "loose", "arguments": ""}},
                        {"index": 0, "function": {"arguments": "}"}},
                    ]
                }
            )
        ),
        call(1, "x"),
        end("tool_calls"),
    ],
    "a call's fields come late and twice": [
        opening(),
        call(0, "", type="function"),
        call(0, "{", name="str", id="call"),
        call(0, "}", name="ict", id="_0", type="function"),
        end("tool_calls"),
    ],
    "a call with more fields": [
        opening(),
        called(0, "strict", "{"),
        chunk(part({"tool_calls": [{"index": 0, "function": {"arguments": "}", "extra": "x"}, "note": "n"}]})),
        chunk(part({"tool_calls": [{"index": 0, "function": {"arguments": " "}, "note": "o"}]})),
        end("tool_calls"),
    ],
    "content after a call": [
        opening(),
        *letters(WEATHER),
        called(0, "strict", "{}"),
        content(" "),
        content("x"),
        end("tool_calls"),
    ],
    "call ends in a chunk with its finish": [
        opening(),
        called(0, "strict", "{}"),
        chunk(part({"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}, finish="tool_calls")),
    ],
    "calls of several choices": [
        opening(0),
        opening(1),
        called(0, "strict", "{", 1),
        called(0, "weather", "{", 0),
        call(0, "}", choice=1),
        content("text", 0),
        end("tool_calls", 1),
        end("stop", 0),
    ],
    "empty list of calls": [opening(), chunk(part({"tool_calls": []})), content("a"), end()],
    "old function call": [
        opening(),
        chunk(part({"function_call": {"name": "f", "arguments": ""}})),
        chunk(part({"function_call": {"arguments": "{"}})),
        chunk(part({"function_call": {"arguments": "}"}})),
        end("function_call"),
    ],
    "audio": [opening(), *(chunk(part({"audio": {"id": "a", "transcript": text}})) for text in "xyz"), end()],
    "reasoning": [
        chunk(part({"role": "assistant", "content": None})),
        *(chunk(part({"reasoning_content": text})) for text in ("I", " think")),
        chunk(part({"reasoning_content": None, "content": "so"})),
        chunk(part({"reasoning_content": "!", "content": ", yes"})),
        end(),
    ],
    "unknown fields": [
        chunk(part({"role": "assistant", "numbers": 1, "texts": ["a"], "mixed": "x", "nested": {"a": "b"}})),
        chunk(part({"numbers": 2.5, "texts": ["b", "c"], "mixed": 4, "nested": {"a": "c", "d": None}, "type": "t"})),
        chunk(part({"flag": True, "type": "u", "index": 7, "entries": [{"index": 0, "text": "a"}]})),
        chunk(part({"flag": True, "type": "v", "index": 8, "entries": [{"index": 0, "text": "b"}, {"index": 1}]})),
        end(),
    ],
    "list entry without an index": [
        chunk(part({"role": "assistant", "entries": [{"a": 1}]})),
        chunk(part({"entries": [{"a": 1}]})),
    ],
    "role in each chunk": [opening(), chunk(part({"role": "assistant", "content": "a"})), end()],
    "fields of the head": [
        chunk(part({"role": "assistant"}), service_tier="default", obfuscation="abc", more={"a": 1}),
        chunk(part({"content": "a"}), service_tier="flex", system_fingerprint="other", obfuscation="d"),
        chunk(part({}, finish="stop"), system_fingerprint=None),
    ],
    "fields of a choice": [
        chunk(part({"role": "assistant"}, note="a")),
        chunk(part({"content": "a"}, note="b")),
        end(),
    ],
    "moderation": [
        opening(),
        chunk(
            part({"content": "a"}),
            moderation={
                "input": {"type": "error", "code": "c", "message": "m"},
                "output": {"type": "moderation_results", "model": "m", "results": []},
            },
        ),
        end(),
    ],
    "goes on after its finish": [opening(), content("{"), end(), content("}"), end("length")],
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", BY_HAND)
def test_events_equal_the_reference(name: str, options: Callable[[Any], Json]) -> None:
    assert_equal(BY_HAND[name], options)


@pytest.mark.parametrize("data", [[opening(), content("a", 2)], [opening(1)], [chunk(), opening(1)]])
def test_choice_before_its_predecessor_is_refused(data: list[Json]) -> None:
    for api in (OURS, THEIRS):
        state = api.chat.ChatCompletionStreamState()
        for item in data[:-1]:
            state.handle_chunk(api.Chunk.construct(**item))
        with pytest.raises(IndexError):
            state.handle_chunk(api.Chunk.construct(**data[-1]))


def test_events_of_a_dataclass_equal_the_reference() -> None:
    assert_equal([opening(), *letters(POINT), end()], lambda _: {"response_format": Point})


def test_a_format_that_is_no_class_is_not_parsed() -> None:
    for given_format in ({"type": "json_object"}, {"type": "text"}):
        assert_equal([opening(), *letters('{"a": 1}'), end()], lambda _, f=given_format: {"response_format": f})


def test_class_that_cannot_be_parsed_is_refused_at_the_end() -> None:
    assert_equal([opening(), content("{}"), end()], lambda _: {"response_format": int})


def test_json_that_is_a_bare_string_says_nothing_until_its_end() -> None:
    """The reference fails at the first chunk."""
    state = OURS.chat.ChatCompletionStreamState(response_format=pydantic.RootModel[str])
    events: list[Any] = []
    for item in [opening(), *letters('"Hello"'), end()]:
        events += state.handle_chunk(OURS.Chunk.construct(**item))
    deltas = [event for event in events if event.type == "content.delta"]
    assert [event.parsed for event in deltas] == [None] * 7 + ["Hello"]
    assert state.get_final_completion().choices[0].message.parsed.root == "Hello"


# -- random ------------------------------------------------------------------------------------------------------------


@st.composite
def streams(draw: st.DrawFn) -> list[Json]:
    """Answers of one to three choices, whose parts come in any sizes and interleaved in any way."""
    per_choice = []
    for index in range(draw(st.integers(1, 3))):
        deltas: list[Json] = []
        for _ in range(draw(st.integers(0, 3))):
            kind = draw(st.sampled_from(["content", "refusal", "reasoning_content"]))
            text = draw(st.sampled_from([WEATHER, POINT, "{}", "[1, 2.5, tr", "plain ü\n text", "  "]))
            deltas += [{kind: piece} for piece in draw(splits(text))]
        n_calls = draw(st.integers(0, 3))
        calls: list[list[Json]] = []
        for position in range(n_calls):
            name = draw(st.sampled_from(["weather", "strict", "loose", "unstrict", "unknown"]))
            pieces = draw(splits(draw(st.sampled_from([WEATHER, POINT, "{}"]))))
            first = {"id": f"c{position}", "type": "function", "function": {"name": name, "arguments": ""}}
            more = [{"function": {"arguments": piece}} for piece in pieces]
            calls.append([{"index": position, **item} for item in (first, *more)])
        if draw(st.booleans()):
            deltas += [{"tool_calls": [item]} for items in calls for item in items]
        else:
            # Once begun in their order, they grow in any.
            deltas += [{"tool_calls": [items[0]]} for items in calls]
            rest = [item for items in calls for item in items[1:]]
            order = draw(st.permutations(range(len(rest)))) if len(rest) < 8 else range(len(rest))
            deltas += [{"tool_calls": [rest[position]]} for position in order]
        parts = [part(delta, index) for delta in deltas]
        for item in parts:
            if draw(st.integers(0, 4)) == 0:
                item["logprobs"] = logprobs(*draw(st.sampled_from([("ab", None), ("", "x"), (None, None), ("a", "")])))
        finish = draw(st.sampled_from(["stop", "tool_calls", "length", "content_filter"]))
        per_choice.append([*parts, part({}, index, finish)])
    result = [opening(index) for index in range(len(per_choice))]
    while any(per_choice):
        waiting = [parts for parts in per_choice if parts]
        taken = draw(st.lists(st.sampled_from(waiting), min_size=1, max_size=2))
        result.append(chunk(*(parts.pop(0) for parts in taken if parts)))
    if draw(st.booleans()):
        result.append(chunk(usage=USAGE))
    return result


@st.composite
def splits(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=8)))
    return [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=streams(), options=st.sampled_from(OPTIONS))
def test_random_streams_equal_the_reference(data: list[Json], options: Callable[[Any], Json]) -> None:
    assert_equal(data, options)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from([0.5, "a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("index type a b".split()), inner),
    max_leaves=8,
)
_OBJECT = st.dictionaries(st.sampled_from("index type a b c".split()), _JSON, max_size=4)


@settings(max_examples=300, deadline=None)
@given(deltas=st.lists(_OBJECT, max_size=5))
def test_random_deltas_accumulate_as_in_the_reference(deltas: list[Json]) -> None:
    def run(accumulate: Callable[[Json, Json], Json]) -> Any:
        acc: Json = {}
        try:
            for delta in copy.deepcopy(deltas):
                acc = accumulate(acc, delta)
        except Exception as error:
            return type(error)
        return acc

    assert run(accumulate_delta) == run(openai.lib.streaming._deltas.accumulate_delta)


# -- from the engine ---------------------------------------------------------------------------------------------------

CALLS: Json = {"tools": with_tools(OURS)["input_tools"][2:], "tool_choice": "required", "max_tokens": 48}
RECORDINGS: dict[str, Json] = {
    "plain": {},
    "usage": {"stream_options": {"include_usage": True}},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    "choices": {"n": 3, "temperature": 1.5, "seed": 1},
    "all": {"n": 2, "logprobs": True, "stream_options": {"include_usage": True}},
    "calls": CALLS,
    "calls of several choices": {**CALLS, "n": 3, "temperature": 1.5, "seed": 1, "logprobs": True},
    "one call": {**CALLS, "parallel_tool_calls": False, "temperature": 0},
    "a call cut short": {**CALLS, "max_tokens": 16, "temperature": 0},
    "tools unused": {**CALLS, "tool_choice": "auto", "temperature": 0, "stop": "."},
}


@pytest.mark.anyio
@pytest.mark.parametrize("lag", [False, True])
@pytest.mark.parametrize("name", RECORDINGS)
async def test_recorded_streams_equal_the_reference(shared_client: AsyncLlama, name: str, lag: bool) -> None:
    """Also the very chunks of the engine, which are built otherwise than these from JSON, give the same."""
    stream = await shared_client.chat.completions.create(
        **{"model": "default", "messages": QUESTION, "max_tokens": 12, **RECORDINGS[name]}, stream=True
    )
    if lag:
        # What nobody fetches in time is merged.
        await until(lambda: stats(shared_client)["n_running"] == 0)
    chunks = [chunk async for chunk in stream]
    data: list[Json] = [chunk.to_dict() for chunk in chunks]
    for options in (no_options, with_tools):
        assert_equal(data, options)
    state = OURS.chat.ChatCompletionStreamState()
    built = [[dump(event) for event in state.handle_chunk(chunk)] for chunk in chunks]
    assert built == observe(THEIRS, data, no_options, only_dumped)[0]
