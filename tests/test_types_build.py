"""Instances that `make_builder` makes behave like validated ones, and cost little."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pydantic
import pytest

from llama_async._models import BaseModel, add_request_id, build, make_builder
from llama_async.types.chat import ChatCompletionChunk, ParsedChatCompletionMessage
from llama_async.types.chat.chat_completion_chunk import Choice, ChoiceDelta
from llama_async.types.shared import ResponseFormatJSONSchema
from llama_async.types.shared.response_format_json_schema import JSONSchema

WIRE = {
    "id": "chatcmpl-1",
    "choices": [{"delta": {"content": " token"}, "index": 0, "finish_reason": None, "logprobs": None}],
    "created": 1700000000,
    "model": "local",
    "object": "chat.completion.chunk",
}


def _chunk() -> ChatCompletionChunk:
    make_chunk = make_builder(
        ChatCompletionChunk, id="chatcmpl-1", object="chat.completion.chunk", created=1700000000, model="local"
    )
    make_choice = make_builder(Choice, index=0, finish_reason=None, logprobs=None)
    make_delta = make_builder(ChoiceDelta)
    return make_chunk(choices=[make_choice(delta=make_delta(content=" token"))])


def test_built_equals_validated() -> None:
    built, validated = _chunk(), ChatCompletionChunk.model_validate(WIRE)
    assert built == validated
    assert validated == built
    assert built.to_dict() == WIRE
    assert built.to_json(indent=None) == validated.to_json(indent=None)
    assert built.model_dump() == validated.model_dump()
    assert list(built.model_dump()) == list(validated.model_dump())
    assert repr(built) == repr(validated)
    assert built.model_fields_set == validated.model_fields_set
    assert built.model_extra == validated.model_extra == {}
    assert built.choices[0].delta.role is None


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda chunk: pickle.loads(pickle.dumps(chunk))])
def test_built_can_be_copied(clone: Any) -> None:
    assert clone(_chunk()) == _chunk()
    assert _chunk().model_copy(update={"model": "other"}).to_dict() == {**WIRE, "model": "other"}


def test_built_can_be_assigned_to_like_a_validated_one() -> None:
    built, validated = _chunk(), ChatCompletionChunk.model_validate(WIRE)
    for chunk in (built, validated):
        chunk.system_fingerprint = "fp"
        chunk.note = "mine"  # type: ignore[attr-defined]
    assert built == validated
    assert built.to_dict() == {**WIRE, "system_fingerprint": "fp", "note": "mine"}


def test_instances_share_no_state() -> None:
    make_delta = make_builder(ChoiceDelta, role="assistant")
    first, second = make_delta(content="a"), make_delta(content="b")
    first.refusal = "no"
    first.extra_field = 1  # type: ignore[attr-defined]
    assert second.to_dict() == {"role": "assistant", "content": "b"}
    assert make_delta().to_dict() == {"role": "assistant"}


def test_unknown_fields_become_extras() -> None:
    make_delta = make_builder(ChoiceDelta)
    delta = make_delta(reasoning_content="hm", content="x")
    assert delta.reasoning_content == "hm"  # type: ignore[attr-defined]
    assert delta.model_extra == {"reasoning_content": "hm"}
    assert delta.to_dict() == {"content": "x", "reasoning_content": "hm"}
    assert delta.model_fields_set == {"content"}
    with pytest.raises(TypeError, match="ChoiceDelta has no field 'reasoning_content'"):
        make_builder(ChoiceDelta, reasoning_content="hm")


def test_alias_is_used_on_the_wire() -> None:
    schema = build(JSONSchema, name="s", schema_={"type": "object"})
    built = build(ResponseFormatJSONSchema, type="json_schema", json_schema=schema)
    wire = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}}
    assert built.to_dict() == wire
    assert built == ResponseFormatJSONSchema.model_validate(wire)


def test_generic_models_can_be_built() -> None:
    class Answer(pydantic.BaseModel):
        value: int

    message = build(ParsedChatCompletionMessage[Answer], role="assistant", content="{}", parsed=Answer(value=1))
    assert message.parsed is not None
    assert message.parsed.value == 1
    assert message.tool_calls is None


def test_mutable_default_is_refused() -> None:
    class Shared(BaseModel):
        items: list[int] = []  # noqa: RUF012 - pydantic copies it, the builder would not

    with pytest.raises(TypeError, match=r"Shared\.items has a mutable default"):
        make_builder(Shared)


def test_request_id_is_an_attribute_and_never_dumped() -> None:
    chunk = _chunk()
    with pytest.raises(AttributeError):
        _ = chunk._request_id
    add_request_id(chunk, "req_1")
    assert chunk._request_id == "req_1"
    assert chunk.to_dict() == WIRE
    assert "req_1" not in repr(chunk)
    assert chunk == _chunk()
    with pytest.raises(AttributeError):
        _ = chunk.choices[0]._request_id


def test_str_names_the_class() -> None:
    assert str(build(ChoiceDelta, content="x")).startswith("ChoiceDelta(audio=None, content='x'")


@pytest.mark.parametrize(
    ("statement", "loads"),
    [
        ("import llama_async.types.chat", {"llama_async"}),
        ("from llama_async.types.chat import CompletionCreateParams", {"llama_async", "typing_extensions"}),
        ("from llama_async._types import omit, not_given, Headers", {"llama_async"}),
    ],
)
def test_import_loads_only_what_it_needs(statement: str, loads: set[str]) -> None:
    code = f"""
import sys, typing, collections.abc, importlib.util
import llama_async
before = set(sys.modules)
{statement}
print(*{{name.partition(".")[0] for name in set(sys.modules) - before}} - set(sys.stdlib_module_names))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()) <= loads
