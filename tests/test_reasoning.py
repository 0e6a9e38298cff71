"""Thinking, with the templates of families that think: told apart, counted, bounded; stop strings and schemas wait for
its end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support import CLIENT_OPTIONS

from llama_async import AsyncLlama, BadRequestError

pytestmark = pytest.mark.anyio
ONLY_ASYNCIO = True

QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
ASKED: dict[str, Any] = {"model": "default", "messages": QUESTION, "temperature": 0, "max_tokens": 24}
# This model, which never learned to think, neither ends its thinking by itself nor its answer.
BODY: dict[str, Any] = {"cache_prompt": False, "ignore_eos": True}
DIGIT: Any = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}}, "required": ["a"]}
# One call, and nothing else.
CALL: Any = {
    "tools": [{"type": "function", "function": {"name": "answer", "parameters": DIGIT, "strict": True}}],
    "tool_choice": "required",
    "parallel_tool_calls": False,
}
SCHEMA: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": DIGIT}}

# Their prompts end within the thinking. Of what the marks are made differs: none of them is a token of this model.
THINKERS = [
    "Qwen-QwQ-32B",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
    "NVIDIA-Nemotron-Nano-v2",
    "Qwen3.5-4B",
    "MiniMax-M2",
]

Thinker = Callable[[str], AbstractAsyncContextManager[AsyncLlama]]


@pytest.fixture
def thinker(model_path: Path, source: Path) -> Thinker:
    @asynccontextmanager
    async def load(name: str) -> AsyncIterator[AsyncLlama]:
        template = (source / "models" / "templates" / f"{name}.jinja").read_text(encoding="utf-8")
        async with AsyncLlama(model_path, **CLIENT_OPTIONS, chat_template=template) as client:
            yield client

    return load


@pytest.fixture(scope="module")
async def qwq(anyio_backend: Any, model_path: Path, source: Path) -> AsyncIterator[AsyncLlama]:
    template = (source / "models" / "templates" / "Qwen-QwQ-32B.jinja").read_text(encoding="utf-8")
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, chat_template=template) as client:
        yield client


async def whole(client: AsyncLlama, body: dict[str, Any] | None = None, **parameters: Any) -> Any:
    options = {**ASKED, "extra_body": {**BODY, **(body or {})}, **parameters}
    return await client.chat.completions.create(**options)


def parts(answer: Any, index: int = 0) -> tuple[str, str, str]:
    """Reasoning, content, finish reason."""
    choice = answer.choices[index]
    return getattr(choice.message, "reasoning_content", ""), choice.message.content or "", choice.finish_reason


def n_reasoning(answer: Any) -> int:
    count: int = answer.usage.completion_tokens_details.reasoning_tokens
    return count


async def streamed(client: AsyncLlama, body: dict[str, Any] | None = None, **parameters: Any) -> Any:
    """The same by a stream: parts, usage; its chunks are what openai's accumulators take."""
    options = {**ASKED, "extra_body": {**BODY, **(body or {})}, **parameters}
    reasoning, content, finish, usage, n_pieces = "", "", "", None, 0
    async for chunk in await client.chat.completions.create(
        **options, stream=True, stream_options={"include_usage": True}
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            thought = getattr(choice.delta, "reasoning_content", None) or ""
            assert not (thought and choice.delta.content)
            assert not (thought and content), "thinking comes before the content"
            n_pieces += bool(thought)
            reasoning, content = reasoning + thought, content + (choice.delta.content or "")
            finish = choice.finish_reason or finish
    return (reasoning, content, finish), usage, n_pieces


# -- the budget --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", THINKERS)
async def test_a_budget_bounds_the_thinking_exactly(thinker: Thinker, name: str) -> None:
    async with thinker(name) as client:
        answer = await whole(client, {"reasoning_budget_tokens": 6})
        reasoning, content, finish = parts(answer)
        assert reasoning.strip()
        assert content.strip()
        assert finish == "length"
        assert n_reasoning(answer) == 6
        said, usage, n_pieces = await streamed(client, {"reasoning_budget_tokens": 6})
        assert said == (reasoning, content, finish)
        assert usage == answer.usage
        assert n_pieces > 1

        none = await whole(client, {"reasoning_budget_tokens": 0}, max_tokens=12)
        assert parts(none)[0].strip() == ""
        assert parts(none)[1].strip()
        assert n_reasoning(none) == 0

        free = await whole(client, max_tokens=12)
        assert parts(free)[0].strip()
        assert parts(free)[1:] == ("", "length")
        assert n_reasoning(free) == 12


async def test_a_budget_that_is_not_reached_changes_nothing(qwq: AsyncLlama) -> None:
    free = await whole(qwq, max_tokens=8)
    assert parts(await whole(qwq, {"reasoning_budget_tokens": 8}, max_tokens=8)) == parts(free)
    assert parts(await whole(qwq, {"reasoning_budget_tokens": -1}, max_tokens=8)) == parts(free)


async def test_each_choice_has_the_budget(qwq: AsyncLlama) -> None:
    answer = await whole(qwq, {"reasoning_budget_tokens": 5}, n=3, temperature=1.2, seed=4, max_tokens=16)
    assert all(parts(answer, index)[0].strip() and parts(answer, index)[1].strip() for index in range(3))
    assert n_reasoning(answer) == 15
    assert answer.usage.completion_tokens == 48


async def test_a_budget_without_thinking_has_no_effect(model_path: Path) -> None:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
        free = await whole(client, max_tokens=6)
        assert parts(await whole(client, {"reasoning_budget_tokens": 0}, max_tokens=6)) == parts(free)


async def test_a_budget_beside_a_grammar_is_refused(qwq: AsyncLlama) -> None:
    with pytest.raises(BadRequestError) as caught:
        await whole(qwq, {"reasoning_budget_tokens": 5, "grammar": 'root ::= "a"'})
    assert caught.value.param == "reasoning_budget_tokens"


async def test_thinking_that_is_given_is_gone_on_with(qwq: AsyncLlama) -> None:
    begun: Any = [*QUESTION, {"role": "assistant", "content": "", "reasoning_content": "Let me think."}]
    answer = await whole(qwq, {"reasoning_budget_tokens": 4}, messages=begun, max_tokens=16)
    reasoning, content, _ = parts(answer)
    assert "Let me think" not in reasoning
    assert content.strip()
    assert n_reasoning(answer) == 4


# -- what waits for its end --------------------------------------------------------------------------------------------


async def test_stop_strings_do_not_cut_thoughts(qwq: AsyncLlama) -> None:
    thought = parts(await whole(qwq, {"reasoning_budget_tokens": 8}))[0]
    word = thought.split()[1]
    stop = [word, "\n\n", " "]  # a blank comes in every answer, whatever the model says
    answer = await whole(qwq, {"reasoning_budget_tokens": 8}, stop=stop)
    assert parts(answer)[0] == thought
    assert word in thought
    # The empty line behind the thinking is part of its end, not of the answer.
    reasoning, content, finish = parts(answer)
    assert content.strip()
    assert word not in content
    assert " " not in content.strip()
    assert "\n\n" not in content.strip()
    assert finish == "stop"
    assert (await streamed(qwq, {"reasoning_budget_tokens": 8}, stop=stop))[0] == (reasoning, content, finish)


async def test_a_schema_holds_behind_the_thinking(qwq: AsyncLlama) -> None:
    options: dict[str, Any] = {"response_format": SCHEMA, "max_tokens": 60}
    answer = await whole(qwq, {"reasoning_budget_tokens": 5, "ignore_eos": False}, **options)
    reasoning, content, finish = parts(answer)
    assert reasoning.strip()
    assert finish == "stop"
    assert json.loads(content)["a"] in range(10)
    assert n_reasoning(answer) == 5
    assert (await streamed(qwq, {"reasoning_budget_tokens": 5, "ignore_eos": False}, **options))[0] == parts(answer)


async def test_a_call_comes_behind_the_thinking(qwq: AsyncLlama) -> None:
    answer = await whole(
        qwq,
        {"reasoning_budget_tokens": 5, "ignore_eos": False},
        **CALL,
        max_tokens=80,
    )
    (call,) = answer.choices[0].message.tool_calls
    assert parts(answer)[0].strip()
    assert json.loads(call.function.arguments)["a"] in range(10)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert n_reasoning(answer) == 5


@pytest.mark.parametrize("name", ["Qwen3.5-4B", "Qwen3-Coder", "Qwen-QwQ-32B"])
async def test_one_required_call_is_made(thinker: Thinker, name: str) -> None:
    """Upstream's lazy grammars of these families admit none at all, and QwQ's several whatever was asked for."""
    async with thinker(name) as client:
        for budget in (3, 12):
            answer = await whole(
                client,
                {"reasoning_budget_tokens": budget, "ignore_eos": False},
                **CALL,
                max_tokens=90,
            )
            (call,) = answer.choices[0].message.tool_calls
            assert json.loads(call.function.arguments)["a"] in range(10)


# -- reasoning_effort --------------------------------------------------------------------------------------------------


async def test_an_effort_is_the_templates(model_path: Path) -> None:
    template = (
        "{% if reasoning_effort %}{{ 'Effort: ' + reasoning_effort + '\n' }}{% endif %}"
        "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    )
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, chat_template=template) as client:
        for effort in ("minimal", "low", "medium", "high", "xhigh", "max"):
            given = await whole(client, reasoning_effort=effort, max_tokens=1)
            same = await whole(client, {"chat_template_kwargs": {"reasoning_effort": effort}}, max_tokens=1)
            rendered = await client.apply_template(
                messages=QUESTION, extra_body={"chat_template_kwargs": {"reasoning_effort": effort}}
            )
            assert rendered.startswith(f"Effort: {effort}\nWhat")
            assert given.usage.prompt_tokens == same.usage.prompt_tokens
        without = await whole(client, max_tokens=1)
    assert without.usage.prompt_tokens < given.usage.prompt_tokens


async def test_no_effort_is_no_thinking(thinker: Thinker) -> None:
    async with thinker("Qwen3.5-4B") as client:
        thinking = await whole(client, max_tokens=8)
        none = await whole(client, max_tokens=8, reasoning_effort="none")
    assert parts(thinking)[0]
    assert parts(none)[0] == ""
    assert parts(none)[1]
    assert n_reasoning(none) == 0


async def test_an_effort_that_there_is_not_is_refused(qwq: AsyncLlama) -> None:
    with pytest.raises(BadRequestError) as caught:
        await whole(qwq, reasoning_effort="utmost")
    assert caught.value.param == "reasoning_effort"
