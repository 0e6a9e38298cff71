"""openai's blocking client, answered in this process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import openai.types.chat
import pytest
from support import CLIENT_OPTIONS, ENDLESS, QUESTION, is_idle, until

from llama_async import Llama

SHORT: dict[str, Any] = {"model": "default", "messages": QUESTION, "max_tokens": 6, "temperature": 0}


@pytest.fixture(scope="module")
def client(model_path: Path) -> Iterator[Llama]:
    with Llama(model_path, **CLIENT_OPTIONS) as client:
        yield client


@pytest.fixture
def real(client: Llama) -> Iterator[openai.OpenAI]:
    with client.as_openai() as real:
        yield real


def wait_until_idle(client: Llama) -> None:
    client._portal.run(lambda: until(lambda: is_idle(client._wrapped)))


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


def test_leaving_a_stream_ends_the_work(real: openai.OpenAI, client: Llama) -> None:
    with real.chat.completions.create(**ENDLESS, stream=True) as stream:
        next(stream)
        assert not is_idle(client._wrapped)
    wait_until_idle(client)


def test_a_stream_that_is_collected_ends_the_work(real: openai.OpenAI, client: Llama) -> None:
    stream = real.chat.completions.create(**ENDLESS, stream=True)
    next(stream)
    del stream
    # Also in the loop's thread, where nothing may wait for the loop.
    client._portal.run(gc.collect)
    wait_until_idle(client)


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


def test_closed_client(model_path: Path) -> None:
    client = Llama(model_path, **CLIENT_OPTIONS)
    with client.as_openai() as real:
        stream = real.chat.completions.create(**ENDLESS, stream=True)
        next(stream)
        client.close()
        for call in (lambda: list(stream), lambda: real.chat.completions.create(**SHORT)):
            with pytest.raises(openai.APIConnectionError, match="has been closed") as caught:
                call()
            assert isinstance(caught.value, RuntimeError)


def test_closing_it_leaves_the_client_open(client: Llama) -> None:
    with client.as_openai() as real:
        real.chat.completions.create(**SHORT)
    assert not client.is_closed()
    client.chat.completions.create(**SHORT)
    with pytest.raises(RuntimeError, match="has been closed"):
        real.chat.completions.create(**SHORT)


def test_threads_share_it(real: openai.OpenAI) -> None:
    with ThreadPoolExecutor(4) as executor:
        answers = list(executor.map(lambda _: real.chat.completions.create(**SHORT), range(8)))
    assert len({answer.choices[0].message.content for answer in answers}) == 1
