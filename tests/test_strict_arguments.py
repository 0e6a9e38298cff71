"""Arguments of strict functions, written as JSON or one by one: what is sampled validates."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import anyio
import jsonschema
import pytest
from support import CLIENT_OPTIONS
from test_tools import template
from tools.tiny_models import tiny_llama

from llama_async import AsyncLlama, BadRequestError

ONLY_ASYNCIO = True

pytestmark = pytest.mark.anyio

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "size": {"type": "string", "enum": ["small", "large", "extra large"]},
        "code": {"type": "string", "minLength": 2, "maxLength": 4},
        "sku": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        "count": {"type": "integer", "minimum": 1, "maximum": 20},
        # What upstream's own converter ignores.
        "price": {"type": "number", "minimum": 0.5, "exclusiveMaximum": 0.75, "multipleOf": 0.01},
        "extras": {"type": "array", "items": {"enum": ["milk", "sugar"]}, "uniqueItems": True},
        "to": {
            "type": "object",
            "properties": {"zip": {"type": "string", "minLength": 3, "maxLength": 5}},
            "required": ["zip"],
            "additionalProperties": False,
        },
    },
    "required": ["size", "code", "sku", "count", "price", "extras", "to"],
    "additionalProperties": False,
}
EXACT = json.loads(json.dumps(ORDER), parse_float=Decimal)
TOOLS: Any = [{"type": "function", "function": {"name": "order_drink", "parameters": ORDER, "strict": True}}]
HOT: dict[str, Any] = {
    "model": "default",
    "messages": [{"role": "user", "content": "A large tea, please."}],
    "tools": TOOLS,
    "temperature": 1.5,
    "max_tokens": 800,
    "parallel_tool_calls": False,
}
# One by one, and as one JSON value.
FAMILIES = [
    *("Qwen3-Coder", "MiniMax-M3", "openbmb-MiniCPM5-1B", "poolside-Laguna-XS.2"),
    *("Qwen-Qwen3-0.6B", "openai-gpt-oss-120b", "mistralai-Mistral-Nemo-Instruct-2407", "HuggingFaceTB-SmolLM3-3B"),
    "",  # the model's own, which knows no tools
]


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncLlama]:
    """Of random weights: whatever the grammar lets through comes out, and cheaply."""
    path = tiny_llama(tmp_path_factory.mktemp("strict") / "tiny.gguf", n_ctx_train=8192)
    async with AsyncLlama(path, **{**CLIENT_OPTIONS, "n_ctx": 8192}) as client:
        yield client


async def test_hot_arguments_match_their_schema(client: AsyncLlama) -> None:
    arguments: dict[str, str] = {}

    async def ask(name: str) -> None:
        extra: dict[str, Any] = {"reasoning_budget_tokens": 4}
        if name:
            extra["chat_template"] = template(name)
        completion = await client.chat.completions.create(**HOT, seed=1, tool_choice="required", extra_body=extra)
        (call,) = completion.choices[0].message.tool_calls or ()
        assert call.type == "function"
        arguments[name] = call.function.arguments

    async with anyio.create_task_group() as tasks:
        for name in FAMILIES:
            tasks.start_soon(ask, name)
    for name in FAMILIES:
        jsonschema.validate(json.loads(arguments[name], parse_float=Decimal), EXACT)


async def test_a_call_that_nothing_announces_matches_its_schema(client: AsyncLlama) -> None:
    """Llama 3's is JSON behind any text. The model's words are random, so its call is begun for it."""
    extra = {"chat_template": template("meta-llama-Llama-3.1-8B-Instruct")}
    free = await client.chat.completions.create(**{**HOT, "max_tokens": 20}, seed=1, extra_body=extra)
    assert free.choices[0].message.content
    assert not free.choices[0].message.tool_calls
    begun = [*HOT["messages"], {"role": "assistant", "content": '{"name": "order_drink"'}]
    completion = await client.chat.completions.create(**{**HOT, "messages": begun}, seed=1, extra_body=extra)
    (call,) = completion.choices[0].message.tool_calls or ()
    assert call.type == "function"
    assert call.id
    assert call.function.name == "order_drink"
    jsonschema.validate(json.loads(call.function.arguments, parse_float=Decimal), EXACT)


async def test_a_family_that_cannot_keep_to_a_schema_refuses_strict(client: AsyncLlama) -> None:
    with pytest.raises(BadRequestError, match="order_drink is strict") as caught:
        await client.chat.completions.create(**HOT, extra_body={"chat_template": template("google-gemma-4-31B-it")})
    assert caught.value.param == "tools"
