"""`response_format` under the templates of the pinned source: alone, beside tools, and behind what a model thinks."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from llama_async import AsyncLlama, BadRequestError
from llama_async._request import chat_request
from llama_async._tokens import render

ONLY_ASYNCIO = True

pytestmark = pytest.mark.anyio

SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "number", "minimum": 0, "maximum": 9}},
    "required": ["x"],
}
FORMAT: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
N_TEMPLATES = 70
# Their calls begin as an answer in JSON does: which of both it is cannot be told.
NOT_BESIDE_TOOLS = {
    "meta-llama-Llama-3.1-8B-Instruct.jinja",
    "meta-llama-Llama-3.2-3B-Instruct.jinja",
    "meta-llama-Llama-3.3-70B-Instruct.jinja",
}


# Of its own context: some templates tell a model of itself for 2,000 tokens.
@pytest.fixture(scope="module")
async def roomy(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, n_ctx=8192, n_parallel=1, n_threads=1) as client:
        yield client


async def prepared(client: AsyncLlama, template: str, **parameters: object) -> None:
    """Render a conversation and compile the grammar of its answer, as a completion begins."""
    asked = {
        "messages": [{"role": "user", "content": "Hello"}],
        "response_format": FORMAT,
        "extra_body": {"chat_template": template},
        **parameters,
    }
    await render(client._model, chat_request("default", asked).prompt, None)


async def test_every_template(roomy: AsyncLlama, source: Path) -> None:
    templates = {path.name: path.read_text("utf-8") for path in (source / "models/templates").glob("*.jinja")}
    assert len(templates) == N_TEMPLATES
    for name, template in templates.items():
        await prepared(roomy, template)
        await prepared(roomy, template, tools=TOOLS, tool_choice="required")
        if name in NOT_BESIDE_TOOLS:
            with pytest.raises(BadRequestError, match="beside tools") as caught:
                await prepared(roomy, template, tools=TOOLS)
            assert caught.value.param == "response_format"
        else:
            await prepared(roomy, template, tools=TOOLS)


@pytest.mark.parametrize("name", ["Qwen-QwQ-32B", "Qwen3.5-4B", "MiniMax-M2"])
async def test_the_answer_obeys_and_the_thinking_is_free(roomy: AsyncLlama, source: Path, name: str) -> None:
    template = (source / f"models/templates/{name}.jinja").read_text("utf-8")
    completion = await roomy.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": "Think step by step, then give a number."}],
        response_format=FORMAT,
        max_tokens=60,
        temperature=0,
        extra_body={"chat_template": template, "reasoning_budget_tokens": 8, "cache_prompt": False},
    )
    message = completion.choices[0].message
    assert message.reasoning_content
    assert completion.choices[0].finish_reason == "stop"
    assert 0 <= json.loads(message.content or "")["x"] <= 9


async def test_nothing_but_thoughts_while_it_thinks(roomy: AsyncLlama, source: Path) -> None:
    """This template's prompt has begun the thinking, which the answer's grammar leaves alone."""
    template = (source / "models/templates/deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja").read_text("utf-8")
    completion = await roomy.chat.completions.create(
        model="default",
        messages=[{"role": "user", "content": "Think step by step, then give a number."}],
        response_format=FORMAT,
        max_tokens=12,
        temperature=0,
        extra_body={"chat_template": template, "cache_prompt": False},
    )
    message = completion.choices[0].message
    assert message.reasoning_content
    assert "{" not in message.reasoning_content
    assert not message.content
