"""Answers under `response_format` are JSON of the schema asked for, on the real engine; what cannot be is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pydantic
import pytest
from gguf import GGUFReader

from llama_async import AsyncLlama, BadRequestError
from llama_async._grammar.formats import FORMATS

MESSAGES = [{"role": "user", "content": "Give an example of a person, as JSON."}]
# Hot, and from the whole vocabulary: what the grammar lets through comes out.
HOT: dict[str, Any] = {"temperature": 2.0, "seed": 7, "n": 2, "extra_body": {"top_k": 0, "min_p": 0}}


ONLY_ASYNCIO = True


pytestmark = pytest.mark.anyio


def as_format(schema: object) -> Any:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def bounded(low: int | None, high: int | None) -> dict[str, Any]:
    bounds = {"minimum": low, "maximum": high}
    return {"type": "integer", **{name: bound for name, bound in bounds.items() if bound is not None}}


SHORT = {"type": "string", "maxLength": 4}
SCHEMAS: dict[str, Any] = {
    "person": {
        "type": "object",
        "properties": {"name": SHORT, "age": bounded(0, 130)},
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    "optional": {
        "properties": {"a": {"type": "boolean"}, "b": {"type": "null"}, "c": bounded(0, 9)},
        "required": ["b"],
    },
    "additional": {
        "type": "object",
        "properties": {"ab": bounded(0, 9), "abc": {"type": "boolean"}},
        "additionalProperties": SHORT,
        "required": ["ab"],
    },
    "names": {"properties": {'quote"': {"const": 1}, "back\\slash": {"const": "\n"}, "ü": {"enum": ["é", '"']}}},
    "array": {"type": "array", "items": bounded(-3, 3), "minItems": 2, "maxItems": 3},
    "tuple": {"type": "array", "prefixItems": [{"type": "boolean"}, SHORT]},
    "union": {"anyOf": [{"type": "boolean"}, {"type": "null"}, bounded(0, 1)]},
    "enum": {"enum": ["a", 1, None, {"k": [1.5]}]},
    "types": {"type": ["boolean", "null", "integer"], "maximum": 3},
    "reference": {"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"v": bounded(0, 9)}, "required": ["v"]}}},
    "combined": {"allOf": [{"properties": {"a": SHORT}, "required": ["a"]}, {"properties": {"b": {"const": 2}}}]},
    "nested": {"properties": {"o": {"properties": {"p": {"enum": [1]}}, "required": ["p"]}}, "required": ["o"]},
    "length": {"type": "string", "minLength": 2, "maxLength": 3},
    "number": {"type": "number"},
    "pattern": {"type": "string", "pattern": r'^a\.[^b-z"]{2}\d{1,3}"c\\(x|yz|)$'},
    **{f"format {name}": {"type": "string", "format": name} for name in FORMATS},
    **{
        f"from {low} to {high}": bounded(low, high)
        for low, high in [(0, 0), (-5, 7), (-100, -7), (13, None), (None, -13), (None, 250), (-25, None), (99, 12345)]
    },
}


@pytest.mark.parametrize("name", SCHEMAS)
async def test_what_ends_validates(shared_client: AsyncLlama, name: str) -> None:
    schema = SCHEMAS[name]
    completion = await shared_client.chat.completions.create(
        model="default", messages=MESSAGES, response_format=as_format(schema), max_tokens=80, **HOT
    )
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    n_ended = 0
    for choice in completion.choices:
        if choice.finish_reason == "stop":
            n_ended += 1
            validator.validate(json.loads(choice.message.content or ""))
    assert n_ended > 0


async def test_streamed_and_whole_are_the_same(shared_client: AsyncLlama) -> None:
    greedy: dict[str, Any] = {
        "model": "default",
        "messages": MESSAGES,
        "temperature": 0,
        "max_tokens": 100,
        "response_format": as_format(SCHEMAS["person"]),
        "extra_body": {"cache_prompt": False},
    }
    whole = await shared_client.chat.completions.create(**greedy)
    streamed = ""
    async for chunk in await shared_client.chat.completions.create(**greedy, stream=True):
        streamed += chunk.choices[0].delta.content or ""
    assert streamed == whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop"
    jsonschema.validate(json.loads(streamed), SCHEMAS["person"])


async def test_json_object(shared_client: AsyncLlama) -> None:
    completion = await shared_client.chat.completions.create(
        model="default", messages=MESSAGES, response_format={"type": "json_object"}, max_tokens=60, **{**HOT, "n": 4}
    )
    ended = [choice.message.content for choice in completion.choices if choice.finish_reason == "stop"]
    assert ended
    for content in ended:
        assert isinstance(json.loads(content or ""), dict)


CONST: dict[str, Any] = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}


def as_tool(parameters: object) -> dict[str, Any]:
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters, "strict": True}}
    return {"tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}


# How much white space comes in a row: between two parts of a value two line ends and twenty blanks, in text forty.
@pytest.mark.parametrize(
    ("asked", "n_most", "next_best"),
    [
        ({"response_format": as_format(CONST)}, 22, ""),
        # A text may go on between its blanks. It ends where none may come, or it were the model's choice when.
        ({"response_format": as_format({**CONST, "properties": {"a": {"type": "string"}}})}, 40, '"'),
        ({"response_format": {"type": "json_object"}}, 44, ""),  # before and behind the members that might have come
        (as_tool(CONST), 22, ""),  # this model's template knows no tools: the format is ours
    ],
    ids=["schema", "text", "json_object", "tools"],
)
async def test_white_space_does_not_run_away(
    shared_client: AsyncLlama, model_path: Path, asked: dict[str, Any], n_most: int, next_best: str
) -> None:
    """With spaces and line ends made as likely as can be, the answer still goes on."""
    tokens = GGUFReader(model_path).fields["tokenizer.ggml.tokens"]
    texts = [bytes(tokens.parts[index]).decode() for index in tokens.data]
    # GPT-2's alphabet: space, line feed, tab.
    spaces = [token for token, text in enumerate(texts) if set(text) <= set("\u0120\u010a\u0109")]
    assert len(spaces) > 3
    bias = {str(token): 99 for token in spaces}
    if next_best:
        bias[str(texts.index(next_best))] = 90
    completion = await shared_client.chat.completions.create(
        model="default",
        messages=MESSAGES,
        logit_bias=bias,
        max_tokens=200,
        temperature=0,
        logprobs=True,
        **asked,
    )
    choice = completion.choices[0]
    assert choice.logprobs is not None
    written = "".join(entry.token for entry in choice.logprobs.content or ())
    runs = [len(run) for run in re.findall(r"\s+", written)]
    assert 2 < max(runs) <= n_most
    assert re.sub(r"\s", "", written) not in ("", "{")
    assert choice.finish_reason != "length"
    calls = choice.message.tool_calls or ()
    said = [call.function.arguments for call in calls if call.type == "function"] or [choice.message.content or ""]
    value = json.loads(said[0]).get("a")
    assert value.endswith(" " * 40) if n_most == 40 else value == {22: 1, 44: None}[n_most]


async def test_a_pydantic_model_comes_back(shared_client: AsyncLlama) -> None:
    class Person(pydantic.BaseModel):
        name: str = pydantic.Field(max_length=20)
        age: int = pydantic.Field(ge=0, le=150)

    parsed = await shared_client.chat.completions.parse(
        model="default", messages=MESSAGES, response_format=Person, temperature=0, max_tokens=100
    )
    assert isinstance(parsed.choices[0].message.parsed, Person)


@pytest.mark.parametrize(
    ("response_format", "param"),
    [
        ({"type": "xml"}, "response_format.type"),
        ("json", "response_format"),
        ({"type": "json_schema"}, "response_format.json_schema"),
        ({"type": "json_schema", "json_schema": {"schema": {}}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "a b"}}, "response_format.json_schema.name"),
        ({"type": "json_schema", "json_schema": {"name": "a", "strict": 1}}, "response_format.json_schema.strict"),
        ({"type": "json_schema", "json_schema": {"name": "a", "shema": {}}}, "response_format.json_schema"),
        ({"type": "json_object", "depth": 3}, "response_format"),
        (as_format({"not": {}}), "response_format"),
    ],
)
async def test_refused(shared_client: AsyncLlama, response_format: Any, param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await shared_client.chat.completions.create(model="default", messages=MESSAGES, response_format=response_format)
    assert caught.value.param == param


async def test_a_grammar_beside_is_refused(shared_client: AsyncLlama) -> None:
    with pytest.raises(BadRequestError, match="grammar"):
        await shared_client.chat.completions.create(
            model="default",
            messages=MESSAGES,
            response_format={"type": "json_object"},
            extra_body={"grammar": 'root ::= "a"'},
        )


async def test_a_grammar_too_large_names_the_parameter(shared_client: AsyncLlama) -> None:
    """What passes the check of the schema and fails that of the grammar is the same error."""
    text = {"type": "string", "maxLength": 2000}
    schema = {
        "properties": {f"p{index}": text for index in range(100)},
        "required": [f"p{index}" for index in range(100)],
    }
    with pytest.raises(BadRequestError) as caught:
        await shared_client.chat.completions.create(
            model="default", messages=MESSAGES, response_format=as_format(schema)
        )
    assert caught.value.param == "response_format"
