"""Templates, schemas and grammars that would take for ever: each is one request's error, and the others are served."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from support import CLIENT_OPTIONS, QUESTION, SHORT
from tools.tiny_models import llama_model

from llama_async import AsyncLlama, BadRequestError, OpenAIError

pytestmark = pytest.mark.anyio

ONLY_ASYNCIO = True

LOOPS = "{% for i in range(300) %}" * 3 + "{% endfor %}" * 3
# Text -> what its refusal says. Each is met when upstream tries the template out, that is when the model is loaded.
TEMPLATES = {
    "loops": (LOOPS, "more work"),
    "recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nests deeper"),
    "parentheses": ("{{ " + "(" * 100_000 + "1" + ")" * 100_000 + " }}", "tokens"),
    "brackets": ("{{ " + "[" * 1500 + "]" * 1500 + " }}", "nests deeper"),
    "statements": ("{% if 1 %}" * 9_000 + "{% endif %}" * 9_000, "nests deeper"),
    "many statements": ("{% if 1 %}" * 50_000 + "{% endif %}" * 50_000, "bytes long|at most"),
    "text": ("{{ 'x' * 1000000000000 }}", "more text"),
    "values": ("{% set l = range(1000000000) %}", "values"),
    "attributes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "not safe"),
    "import": ("{% import 'os' as os %}", "import"),
}


@pytest.mark.parametrize("name", TEMPLATES)
async def test_a_model_with_a_hostile_template_loads_and_completes(name: str, tmp_path: Path) -> None:
    template, reason = TEMPLATES[name]
    path = llama_model(chat_template=template).save(tmp_path / "hostile.gguf")
    async with AsyncLlama(path, **{**CLIENT_OPTIONS, "n_ctx": 256}) as client:
        for _ in range(2):
            with pytest.raises(BadRequestError, match=reason):
                await client.chat.completions.create(model="default", messages=QUESTION, max_tokens=1)
        answer = await client.completions.create(model="default", prompt="x", max_tokens=1)
        assert answer.choices


@pytest.mark.parametrize("name", TEMPLATES)
async def test_a_hostile_template_of_a_request_is_that_requests_error(shared_client: AsyncLlama, name: str) -> None:
    template, reason = TEMPLATES[name]
    with pytest.raises(BadRequestError, match=reason) as caught:
        await shared_client.chat.completions.create(**{**SHORT, "extra_body": {"chat_template": template}})
    assert caught.value.param == "chat_template"
    assert (await shared_client.chat.completions.create(**SHORT)).choices


async def test_a_template_that_turns_hostile_with_the_messages(shared_client: AsyncLlama) -> None:
    template = "{% if messages[0].content == 'go' %}" + LOOPS + "{% endif %}{{ messages[0].content }}"
    body = {"chat_template": template}
    request: dict[str, Any] = {**SHORT, "extra_body": body}
    assert (await shared_client.chat.completions.create(**request)).choices
    request["messages"] = [{"role": "user", "content": "go"}]
    start = time.monotonic()
    with pytest.raises(BadRequestError, match="more work"):
        await shared_client.chat.completions.create(**request)
    assert time.monotonic() - start < 29  # not by the limit on preparations
    assert (await shared_client.chat.completions.create(**SHORT)).choices


async def test_a_grammar_that_explodes_ends_with_an_error(shared_client: AsyncLlama) -> None:
    grammar = "root ::= s\ns ::= [^Z] s? s? s?"
    with pytest.raises(BadRequestError, match="too many ways"):
        await shared_client.chat.completions.create(
            **{**SHORT, "max_tokens": 500, "extra_body": {"grammar": grammar, "ignore_eos": True}}
        )
    assert (await shared_client.chat.completions.create(**SHORT)).choices


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize("levels", [200, 5_000, 50_000])
@pytest.mark.parametrize("where", ["response_format", "tools"])
async def test_a_schema_that_nests(shared_client: AsyncLlama, levels: int, where: str) -> None:
    schema = nested(levels)
    try:
        request: dict[str, Any] = dict(SHORT)
        if where == "tools":
            request["tools"] = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
        else:
            request["response_format"] = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
        with pytest.raises(BadRequestError):
            await shared_client.chat.completions.create(**request)
    finally:
        while "properties" in schema:  # taken down one by one: the interpreter's own recursion has a limit too
            schema = schema.pop("properties")["a"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"extra_body": {"grammar": 'root ::= "\ud800"'}}, "grammar"),
        ({"extra_body": {"grammar": 'root ::= "\0"'}}, None),
        ({"extra_body": {"chat_template": "\ud800"}}, "chat_template"),
        ({"extra_body": {"chat_template": "\0{{ messages[0].content }}"}}, None),
        ({"extra_body": {"chat_template": "{{ '\0' }}{{ 1e999 }}"}}, "chat_template"),
        ({"extra_body": {"chat_template_kwargs": {"a": float("inf")}}}, None),
        ({"extra_body": {"chat_template_kwargs": {"\ud800": 1}}}, "chat_template_kwargs"),
        ({"extra_body": {"chat_template_kwargs": {"a": 10**400}}}, None),
        ({"stop": ["\ud800"]}, "stop[0]"),
        ({"stop": ["\0"]}, None),
        ({"messages": [{"role": "user", "content": "a\0b\ufffe\U0010ffff"}]}, None),
        ({"messages": [{"role": "user", "name": "\ud800", "content": "x"}]}, "messages[0].name"),
        ({"tools": [{"type": "function", "function": {"name": "a\0"}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a", "description": "\ud800"}}]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "a", "description": "\0 {{ 1 }} {% if %}"}}]}, None),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"const": "\ud800"}}}},
            "response_format",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"const": 10**400}}}},
            None,
        ),
    ],
)
async def test_what_is_no_text_or_number(shared_client: AsyncLlama, body: dict[str, Any], param: str | None) -> None:
    """An answer, or an error that names the place; never anything else."""
    extra = {**SHORT["extra_body"], **body.get("extra_body", {})}
    try:
        answer = await shared_client.chat.completions.create(**{**SHORT, **body, "extra_body": extra})
    except BadRequestError as error:
        named = error.param
    else:
        named = None
        assert param is None
        assert answer.choices
    assert param is None or (named is not None and named.startswith(param))


async def test_a_hostile_template_of_the_client_is_an_error_that_says_so(model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS, chat_template=LOOPS)
    with pytest.raises(OpenAIError, match="more work"):
        async with client:
            await client.chat.completions.create(**SHORT)
    await client.close()
