"""Chunks made by hand, what to ask of them, and how to compare what two packages make of them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import openai
import openai.lib.streaming.chat
import openai.lib.streaming.chat._events
import openai.types.chat
import pydantic

import llama_async
import llama_async.lib.streaming.chat
import llama_async.lib.streaming.chat._events
import llama_async.types.chat

OURS = SimpleNamespace(
    root=llama_async,
    chat=llama_async.lib.streaming.chat,
    events=llama_async.lib.streaming.chat._events,
    Chunk=llama_async.types.chat.ChatCompletionChunk,
)
THEIRS = SimpleNamespace(
    root=openai,
    chat=openai.lib.streaming.chat,
    events=openai.lib.streaming.chat._events,
    Chunk=openai.types.chat.ChatCompletionChunk,
)


# -- chunks ------------------------------------------------------------------------------------------------------------

Json = dict[str, Any]


def part(delta: Json | None = None, index: int = 0, finish: str | None = None, **more: Any) -> Json:
    return {"delta": delta or {}, "index": index, "finish_reason": finish, "logprobs": None, **more}


def chunk(*parts: Json, **more: Any) -> Json:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**head, "system_fingerprint": "fp", "choices": list(parts), **more}


def opening(index: int = 0) -> Json:
    return chunk(part({"role": "assistant", "content": "", "refusal": None}, index))


def content(text: str | None, index: int = 0, **more: Any) -> Json:
    return chunk(part({"content": text}, index, **more))


def end(finish: str = "stop", index: int = 0) -> Json:
    return chunk(part({}, index, finish))


def call(index: int, arguments: str | None = None, *, choice: int = 0, **more: Any) -> Json:
    function = {"arguments": arguments, **({"name": more.pop("name")} if "name" in more else {})}
    return chunk(part({"tool_calls": [{"index": index, "function": function, **more}]}, choice))


def called(index: int, name: str, arguments: str = "", choice: int = 0) -> Json:
    return call(index, arguments, name=name, id=f"call_{index}", type="function", choice=choice)


def logprob(token: str) -> Json:
    return {"token": token, "bytes": list(token.encode()), "logprob": -0.5, "top_logprobs": []}


def logprobs(text: str | None, refusal: str | None = None) -> Json:
    return {
        "content": None if text is None else [logprob(token) for token in text],
        "refusal": None if refusal is None else [logprob(token) for token in refusal],
    }


USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


# -- what is asked for -------------------------------------------------------------------------------------------------


class Unit(Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Weather(pydantic.BaseModel):
    """What the weather is like."""

    city: str
    degrees: float
    unit: Unit = Unit.CELSIUS
    notes: list[str] | None = None


@pydantic.dataclasses.dataclass
class Point:
    x: int
    y: int


WEATHER = '{"city": "Zürich \\u00e9", "degrees": -1.5e0, "unit": "kelvin", "notes": ["a", "b\\n", ""]}'
POINT = '{"x": 12, "y": [1, {"z": null}], "y": 3}'


def strict_tool(name: str, *, strict: bool | None = True) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": {}, "strict": strict}}


def no_options(_: Any) -> Json:
    return {}


def as_weather(_: Any) -> Json:
    return {"response_format": Weather}


def with_tools(api: Any) -> Json:
    loose: Json = {"type": "function", "function": {"name": "loose"}}
    custom: Json = {"type": "custom", "custom": {"name": "custom"}}
    tool = api.root.pydantic_function_tool(Weather, name="weather")
    return {"input_tools": [custom, loose, tool, strict_tool("strict"), strict_tool("unstrict", strict=False)]}


def with_all(api: Any) -> Json:
    return {"response_format": Weather, **with_tools(api)}


OPTIONS = (no_options, as_weather, with_tools, with_all)


def letters(text: str, **more: Any) -> list[Json]:
    return [content(letter, **more) for letter in text]


# -- comparison --------------------------------------------------------------------------------------------------------


def shape(value: Any) -> Any:
    """Return all there is to see of a value, whichever package it is from."""
    if isinstance(value, (Weather, Point)):
        return value
    if isinstance(value, pydantic.BaseModel):
        fields = {name: shape(getattr(value, name)) for name in type(value).model_fields}
        return (type(value).__name__, fields, value.model_fields_set, shape(value.model_extra))
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value] if isinstance(value, list) else value


def dump(value: Any) -> Any:
    return (
        type(value).__name__,
        value.to_dict(warnings=False),
        value.model_dump(warnings=False),
        value.to_json(warnings=False),
        repr(value).replace("openai.", "llama_async."),
    )


def failure(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return (type(error).__name__, shape(getattr(error, "completion", None)))
