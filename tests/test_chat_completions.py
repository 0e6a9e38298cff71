"""Answers of `chat.completions.create` without streaming: shape, limits, sampling, names, usage."""

from __future__ import annotations

import math
import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai.types.chat
import pydantic
import pytest
from support import ENDLESS, QUESTION, gather, is_idle, until

from llama_async import (
    APITimeoutError,
    AsyncLlama,
    BadRequestError,
    NotFoundError,
    RateLimitError,
    not_given,
    omit,
)
from llama_async.types.chat import ChatCompletion

pytestmark = pytest.mark.anyio


async def test_answer(shared_client: AsyncLlama) -> None:
    before = int(time.time())
    answer = await shared_client.chat.completions.create(model="default", messages=QUESTION, max_tokens=64)
    assert isinstance(answer, ChatCompletion)
    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert before <= answer.created <= time.time()
    assert answer.model == "default"
    assert answer.system_fingerprint
    assert answer._request_id
    [choice] = answer.choices
    assert choice.index == 0
    assert choice.finish_reason in {"stop", "length"}
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.logprobs is None
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens > 5
    assert 0 < usage.completion_tokens <= 64
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    # Built without validation, it has to pass it, ours and openai's.
    wire = answer.to_dict()
    assert ChatCompletion.model_validate(wire) == answer
    openai.types.chat.ChatCompletion.model_validate(wire)
    assert ChatCompletion.model_validate_json(answer.model_dump_json()).choices[0].message == choice.message


async def test_seed_repeats_an_answer(shared_client: AsyncLlama) -> None:
    async def ask(seed: int) -> str | None:
        answer = await shared_client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "Invent a name for a ship."}],
            max_tokens=12,
            seed=seed,
            temperature=2,
            top_p=1,
            extra_body={"cache_prompt": False, "min_p": 0, "top_k": 0},
        )
        return answer.choices[0].message.content

    first = await ask(1)
    assert await ask(1) == first
    assert await ask(2) != first
    assert await ask(-1) == await ask(-1)


async def test_temperature_zero_is_greedy(shared_client: AsyncLlama) -> None:
    async def ask() -> str | None:
        answer = await shared_client.chat.completions.create(
            model="default",
            messages=QUESTION,
            max_tokens=8,
            temperature=0,
            extra_body={"cache_prompt": False},
        )
        return answer.choices[0].message.content

    assert await ask() == await ask()


async def test_max_tokens_ends_with_length(shared_client: AsyncLlama) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        limit: Any = {name: 3}
        answer = await shared_client.chat.completions.create(**ENDLESS, **limit)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 3


async def test_without_max_tokens_the_context_ends_it(model_path: Path) -> None:
    async with AsyncLlama(model_path, n_threads=1, n_ctx=64) as client:
        answer = await client.chat.completions.create(**ENDLESS)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage is not None
        assert answer.usage.total_tokens in {64, 65}  # the last token need not be decoded again


async def test_stop_string_ends_it_and_is_not_part_of_it(shared_client: AsyncLlama) -> None:
    # Computed in the same chunks each time: another chunking moves logits by tenths.
    greedy: Any = {**ENDLESS, "max_tokens": 24, "temperature": 0}
    greedy["extra_body"] = {**ENDLESS["extra_body"], "cache_prompt": False}
    free = await shared_client.chat.completions.create(**greedy)
    text = free.choices[0].message.content
    assert text
    # From the middle of a word to the middle of the next, so that it spans tokens.
    start = text.index(" ", len(text) // 3) - 2
    stop = text[start : start + 5]
    for value in (stop, ["<never>", stop]):
        cut = await shared_client.chat.completions.create(**greedy, stop=value)
        content = cut.choices[0].message.content
        assert cut.choices[0].finish_reason == "stop"
        assert content is not None
        assert stop not in content
        assert content == text[: text.index(stop)]


async def test_several_choices(shared_client: AsyncLlama) -> None:
    answer = await shared_client.chat.completions.create(
        model="default", messages=QUESTION, n=3, max_tokens=10, temperature=1.5, seed=7
    )
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) > 1
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 30


async def test_more_choices_than_sequences(shared_client: AsyncLlama) -> None:
    answer = await shared_client.chat.completions.create(model="default", messages=QUESTION, n=9, max_tokens=2)
    assert [choice.index for choice in answer.choices] == list(range(9))
    assert all(choice.finish_reason for choice in answer.choices)


async def test_logprobs(shared_client: AsyncLlama) -> None:
    answer = await shared_client.chat.completions.create(
        model="default", messages=QUESTION, max_tokens=6, temperature=0, logprobs=True, top_logprobs=3
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content
    assert answer.usage is not None
    assert len(logprobs.content) == 6
    text = b"".join(bytes(entry.bytes or []) for entry in logprobs.content).decode()
    assert text == answer.choices[0].message.content
    for entry in logprobs.content:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 3
        probabilities = [math.exp(top.logprob) for top in entry.top_logprobs]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) <= 1.001
        # Greedy: what was chosen is what was likeliest.
        assert entry.top_logprobs[0].token == entry.token
    ChatCompletion.model_validate(answer.to_dict())


async def test_choices_made_on_several_threads_are_each_their_own(shared_client: AsyncLlama) -> None:
    # Log probabilities of several at once take long enough to be shared among the compute threads.
    answers = await gather(
        *(
            partial(
                shared_client.chat.completions.create,
                model="default",
                messages=[{"role": "user", "content": f"Say {word}."}],
                max_tokens=12,
                temperature=0,
                logprobs=True,
                top_logprobs=5,
            )
            for word in ("red", "green", "blue", "white")
        )
    )
    for answer in answers:
        [choice] = answer.choices
        assert choice.logprobs is not None
        assert choice.logprobs.content
        assert "".join(entry.token for entry in choice.logprobs.content) == choice.message.content
        for entry in choice.logprobs.content:
            likeliest, *others = (top.logprob for top in entry.top_logprobs)
            assert entry.top_logprobs[0].token == entry.token
            assert entry.logprob == likeliest
            assert others == sorted(others, reverse=True)


async def test_logprobs_without_alternatives(shared_client: AsyncLlama) -> None:
    answer = await shared_client.chat.completions.create(
        model="default", messages=QUESTION, max_tokens=2, logprobs=True
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [entry.top_logprobs for entry in logprobs.content] == [[], []]


async def test_a_bias_does_not_bring_back_what_ignore_eos_forbids(shared_client: AsyncLlama) -> None:
    completion = await shared_client.chat.completions.create(
        model="default", messages=QUESTION, max_tokens=8, temperature=0.8, seed=1, logit_bias={"2": 100},
        extra_body={"ignore_eos": True},
    )  # fmt: skip
    assert completion.choices[0].finish_reason == "length"


async def test_logit_bias_forbids_a_token(shared_client: AsyncLlama) -> None:
    async def ask(**options: Any) -> ChatCompletion:
        return await shared_client.chat.completions.create(
            model="default", messages=QUESTION, max_tokens=1, temperature=0, **options
        )

    free = (await ask()).choices[0].message.content
    engine = shared_client._model.engine
    assert engine is not None
    # Which token it was: forbid the vocabulary by halves.
    low, high = 0, 49152
    while high - low > 1:
        middle = (low + high) // 2
        biased = await ask(logit_bias={str(token): -100 for token in range(low, middle)})
        low, high = (low, middle) if biased.choices[0].message.content != free else (middle, high)
    assert (await ask(logit_bias={low: -100})).choices[0].message.content != free
    assert (await ask(logit_bias={str(low): 100})).choices[0].message.content == free


async def test_prefix_is_cached(shared_client: AsyncLlama) -> None:
    messages: Any = [{"role": "user", "content": "Tell me about the moon. " * 20}]
    await shared_client.chat.completions.create(model="default", messages=messages, max_tokens=1)
    again = await shared_client.chat.completions.create(model="default", messages=messages, max_tokens=1)
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert again.usage.prompt_tokens_details.cached_tokens
    assert again.usage.prompt_tokens_details.cached_tokens < again.usage.prompt_tokens
    fresh = await shared_client.chat.completions.create(
        model="default", messages=messages, max_tokens=1, extra_body={"cache_prompt": False}
    )
    assert fresh.usage is not None
    assert fresh.usage.prompt_tokens_details is not None
    assert fresh.usage.prompt_tokens_details.cached_tokens == 0


async def test_grammar_binds_the_answer(shared_client: AsyncLlama) -> None:
    answer = await shared_client.chat.completions.create(
        model="default", messages=QUESTION, extra_body={"grammar": 'root ::= "Paris" | "Rome"'}
    )
    assert answer.choices[0].message.content in {"Paris", "Rome"}


async def test_grammar_that_does_not_parse_is_refused(shared_client: AsyncLlama) -> None:
    with pytest.raises(BadRequestError) as caught:
        await shared_client.chat.completions.create(
            model="default", messages=QUESTION, extra_body={"grammar": "root ::= ("}, max_tokens=4
        )
    assert caught.value.param == "grammar"
    assert caught.value.code == "invalid_grammar"


@pytest.mark.parametrize(
    "extra",
    [
        {"top_k": 5, "min_p": 0.1, "typical_p": 0.9},
        {"repeat_penalty": 1.2, "repeat_last_n": -1},
        {"dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2, "dry_sequence_breakers": ["\n"]},
        {"xtc_probability": 0.5, "xtc_threshold": 0.1},
        {"mirostat": 2, "mirostat_tau": 4, "mirostat_eta": 0.2},
        {"mirostat": 1},
        {"dynatemp_range": 0.3, "dynatemp_exponent": 1.1},
        {"top_n_sigma": 1.5, "min_keep": 2},
        {"samplers": ["top_k", "temperature"], "priority": 3},
        {"adaptive_target": 0.5, "adaptive_decay": 0.8},
        {"max_tokens": 5, "temperature": 0.1},
        {},
    ],
    ids=lambda extra: "-".join(extra) or "none",
)
async def test_llama_cpp_parameters(shared_client: AsyncLlama, extra: dict[str, Any]) -> None:
    answer = await shared_client.chat.completions.create(
        model="default", messages=QUESTION, max_tokens=6, extra_body=extra
    )
    assert answer.usage is not None
    assert 0 < answer.usage.completion_tokens <= extra.get("max_tokens", 6)


async def test_parameters_without_effect_are_accepted(shared_client: AsyncLlama) -> None:
    answer = await shared_client.chat.completions.create(
        model="default",
        messages=QUESTION,
        max_tokens=1,
        metadata={"a": "b"},
        user="me",
        safety_identifier="me",
        prompt_cache_key="k",
        service_tier="priority",
        store=False,
        tools=[],
        tool_choice="none",
        response_format={"type": "text"},
        modalities=["text"],
        temperature=None,
        stop=None,
        seed=omit,
        extra_headers={"x": "y"},
        extra_query={"x": "y"},
        timeout=not_given,
    )
    assert answer.choices


async def test_messages_of_all_roles(shared_client: AsyncLlama) -> None:
    first = await shared_client.chat.completions.create(model="default", messages=QUESTION, max_tokens=4)
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "What is the "}, {"type": "text", "text": "capital?"}]},
        first.choices[0].message,
        {"role": "user", "content": "And of Italy?", "name": "ann"},
    ]
    answer = await shared_client.chat.completions.create(model="default", messages=iter(messages), max_tokens=4)
    assert answer.usage is not None
    assert first.usage is not None
    assert answer.usage.prompt_tokens > first.usage.prompt_tokens


async def test_model_names(shared_client: AsyncLlama, model_path: Path) -> None:
    for name in ("default", model_path.stem):
        answer = await shared_client.chat.completions.create(model=name, messages=QUESTION, max_tokens=1)
        assert answer.model == name
    with pytest.raises(NotFoundError, match=re.escape(model_path.stem)):
        await shared_client.chat.completions.create(model="gpt-4o", messages=[])


async def test_timeout_cancels_the_work(client: AsyncLlama) -> None:
    for timeout in (0.05, httpx.Timeout(0.05), httpx.Timeout(30, read=0.05)):
        with pytest.raises(APITimeoutError, match=r"Request timed out\."):
            await client.chat.completions.create(**ENDLESS, n=4, timeout=timeout)
    await until(lambda: is_idle(client))
    with pytest.raises(APITimeoutError):
        await client.chat.completions.create(**ENDLESS, timeout=0)


async def test_timeout_of_the_client_is_the_default(model_path: Path) -> None:
    async with AsyncLlama(model_path, n_threads=1, n_ctx=1024, timeout=0.05) as client:
        with pytest.raises(APITimeoutError):
            await client.chat.completions.create(**ENDLESS, n=4)
        answer = await client.chat.completions.create(**ENDLESS, max_tokens=2, timeout=None)
        assert answer.choices


async def test_full_queue_is_a_rate_limit(model_path: Path) -> None:
    async with AsyncLlama(model_path, n_threads=1, n_ctx=512, n_parallel=1, max_queue=4) as client:

        async def ask() -> ChatCompletion:
            return await client.chat.completions.create(**ENDLESS, max_tokens=2)

        results = await gather(*[ask] * 100)
        refused = [result for result in results if isinstance(result, RateLimitError)]
        answered = [result for result in results if isinstance(result, ChatCompletion)]
        assert len(refused) + len(answered) == 100
        assert refused
        assert len(answered) >= 4
        assert float(refused[0].response.headers["retry-after"]) > 0
        assert (await ask()).choices


async def test_sixteen_at_once(model_path: Path) -> None:
    async with AsyncLlama(model_path, n_threads=1, n_ctx=512, n_parallel=16) as client:

        async def ask() -> ChatCompletion:
            return await client.chat.completions.create(**ENDLESS, max_tokens=16)

        answers = await gather(*[ask] * 16)
        assert all(isinstance(answer, ChatCompletion) for answer in answers)
        engine = client._model.engine
        assert engine is not None
        # Batched: far fewer steps than tokens.
        assert engine.stats()["n_steps"] < 16 * 16 / 2


async def test_a_class_as_response_format_is_a_type_error(shared_client: AsyncLlama) -> None:
    class Answer(pydantic.BaseModel):
        city: str

    wrong: Any = Answer
    with pytest.raises(TypeError, match="parse"):
        await shared_client.chat.completions.create(model="default", messages=QUESTION, response_format=wrong)
