"""openai's blocking client, answered in this process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import openai.types.chat
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from support import CLIENT_OPTIONS, ENDLESS, QUESTION, is_idle, until

from llama_async import AsyncLlama
from llama_async._openai import blocking_openai

SHORT: dict[str, Any] = {"model": "default", "messages": QUESTION, "max_tokens": 6, "temperature": 0}


@pytest.fixture(scope="module")
def portal() -> Iterator[BlockingPortal]:
    with start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture(scope="module")
def client(portal: BlockingPortal, model_path: Path) -> Iterator[AsyncLlama]:
    with portal.wrap_async_context_manager(AsyncLlama(model_path, **CLIENT_OPTIONS)) as client:
        yield client


@pytest.fixture
def real(client: AsyncLlama, portal: BlockingPortal) -> Iterator[openai.OpenAI]:
    with blocking_openai(client, portal.call) as real:
        yield real


def test_answer(real: openai.OpenAI) -> None:
    answer = real.chat.completions.create(**SHORT)
    assert type(answer) is openai.types.chat.ChatCompletion
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 6


def test_stream(real: openai.OpenAI) -> None:
    options = {**SHORT, "max_tokens": 24, "extra_body": {"cache_prompt": False}}
    whole = real.chat.completions.create(**options)
    chunks = list(real.chat.completions.create(**options, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == whole.choices[0].finish_reason


def test_leaving_a_stream_ends_the_work(real: openai.OpenAI, client: AsyncLlama, portal: BlockingPortal) -> None:
    with real.chat.completions.create(**ENDLESS, stream=True) as stream:
        next(stream)
        assert not is_idle(client)
    portal.call(until, lambda: is_idle(client))


def test_a_stream_that_is_collected_ends_the_work(
    real: openai.OpenAI, client: AsyncLlama, portal: BlockingPortal
) -> None:
    stream = real.chat.completions.create(**ENDLESS, stream=True)
    next(stream)
    del stream
    # Also in the loop's thread, where nothing may wait for the loop.
    portal.call(gc.collect)
    portal.call(until, lambda: is_idle(client))


def test_errors(real: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        real.chat.completions.create(**{**SHORT, "temperature": 3})
    assert refused.value.param == "temperature"
    with pytest.raises(openai.APITimeoutError):
        real.with_options(timeout=0.001).chat.completions.create(**ENDLESS)
    with pytest.raises(openai.APITimeoutError):
        real.with_options(timeout=0.001).chat.completions.create(**ENDLESS, stream=True)


def test_streaming_response_is_open(real: openai.OpenAI) -> None:
    with real.chat.completions.with_streaming_response.create(**SHORT) as response:
        assert not response.is_closed
        assert response.parse().choices[0].message.content
    assert response.is_closed


def test_closed_client(portal: BlockingPortal, model_path: Path) -> None:
    client = AsyncLlama(model_path, **CLIENT_OPTIONS)
    with blocking_openai(client, portal.call) as real:
        stream = real.chat.completions.create(**ENDLESS, stream=True)
        next(stream)
        portal.call(client.close)
        with pytest.raises(openai.APIConnectionError) as caught:
            list(stream)
        assert isinstance(caught.value, RuntimeError)
