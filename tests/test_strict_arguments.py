"""Arguments of strict functions, written as JSON or one by one: what is sampled validates."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import CLIENT_OPTIONS, gather
from test_tools import template

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
    "max_tokens": 250,
}
# One by one, and as one JSON value.
FAMILIES = ["Qwen3-Coder", "MiniMax-M3", "openbmb-MiniCPM5-1B", "poolside-Laguna-XS.2", "Qwen-Qwen3-0.6B"]


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, **{**CLIENT_OPTIONS, "n_ctx": 2048}) as client:
        yield client


async def test_hot_arguments_match_their_schema(client: AsyncLlama) -> None:
    called: list[str] = []

    async def ask(name: str) -> None:
        extra = {"chat_template": template(name), "chat_template_kwargs": {"enable_thinking": False}}
        completion = await client.chat.completions.create(**HOT, seed=1, tool_choice="required", extra_body=extra)
        choice = completion.choices[0]
        for call in choice.message.tool_calls or ():
            assert call.type == "function"
            try:
                arguments = json.loads(call.function.arguments, parse_float=Decimal)
            except ValueError:
                assert choice.finish_reason == "length"
                continue
            jsonschema.validate(arguments, EXACT)
            called.append(name)

    await gather(*(lambda name=name: ask(name) for name in FAMILIES))
    assert len(called) >= 3


async def test_a_family_that_cannot_keep_to_a_schema_refuses_strict(client: AsyncLlama) -> None:
    with pytest.raises(BadRequestError, match="order_drink is strict") as caught:
        await client.chat.completions.create(**HOT, extra_body={"chat_template": template("google-gemma-4-31B-it")})
    assert caught.value.param == "tools"
