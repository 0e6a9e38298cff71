"""Answers under test beside answers computed alone, from an empty cache, in an engine of its own."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from support import stats

from llama_async import AsyncLlama
from llama_async.types.chat import ChatCompletion

Messages = list[dict[str, str]]

# With f32 everywhere, sums in another order are all that chunking and company change: log probabilities were equal to
# within 5e-5, in one of ten thousand tokens to 1.7e-3. (An f16 cache rounds such a difference up to 3e-3 in many, and
# flash attention, which adds up in f16, to 2e-2.) A token missed or seen twice moves them by 1e-2 and more.
TINY_TOLERANCE = 3e-3
EXACT: dict[str, Any] = {"n_ctx": 1024, "n_threads": 1, "flash_attention": False, "type_k": "f32", "type_v": "f32"}
# SmolLM2's activations are quantized to 8 bits block by block: other chunks move its logits by 0.4 to 0.8.
SMOLLM2_TOLERANCE = 1.6
# Their state can go back to any point, so what can be reused is known.
_ATTENTION_ONLY = ("llama",)


def say(text: str, *, system: str = "") -> Messages:
    first = [{"role": "system", "content": system}] if system else []
    return [*first, {"role": "user", "content": text}]


def babble(seed: int, n_chars: int) -> str:
    """Return text in which no two places look alike."""
    letters = random.Random(seed)
    return "".join(letters.choice("abcdefghijklmnopqrstuvwxyz ,.") for _ in range(n_chars))


async def ask(client: AsyncLlama, messages: Messages, *, n_tokens: int = 16, **options: Any) -> ChatCompletion:
    extra_body = {"ignore_eos": True, **options.pop("extra_body", {})}
    return await client.chat.completions.create(
        model="default",
        messages=messages,  # type: ignore[arg-type]
        temperature=0,
        max_tokens=n_tokens,
        logprobs=True,
        top_logprobs=5,
        extra_body=extra_body,
        **options,
    )


def n_cached(answer: ChatCompletion) -> int:
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens is not None
    return answer.usage.prompt_tokens_details.cached_tokens


def n_prompt(answer: ChatCompletion) -> int:
    assert answer.usage is not None
    return answer.usage.prompt_tokens


def assert_same_choices(answer: ChatCompletion, reference: ChatCompletion, tolerance: float) -> None:
    """Check each token's probability, up to where two candidates were so close that either may have won."""
    assert n_prompt(answer) == n_prompt(reference)
    [expected_choice] = reference.choices
    assert expected_choice.logprobs is not None
    for choice in answer.choices:
        assert choice.logprobs is not None
        got, expected = choice.logprobs.content or [], expected_choice.logprobs.content or []
        assert len(got) == len(expected)
        for place, (token, wanted) in enumerate(zip(got, expected, strict=True)):
            if token.bytes != wanted.bytes:
                rivals = {tuple(rival.bytes or ()): rival.logprob for rival in wanted.top_logprobs}
                rival = rivals.get(tuple(token.bytes or ()), float("-inf"))
                assert wanted.logprob - rival < 2 * tolerance, (place, token, wanted)
                break
            assert abs(token.logprob - wanted.logprob) < tolerance, (place, token, wanted)


@dataclass
class Bench:
    """A client under test and the answers it must give."""

    client: AsyncLlama
    alone: AsyncLlama
    kind: str
    tolerance: float
    _known: dict[str, ChatCompletion] = field(default_factory=dict)

    @property
    def can_go_back(self) -> bool:
        return self.kind in _ATTENTION_ONLY

    @property
    def can_share(self) -> bool:
        return self.can_go_back and stats(self.client)["n_parallel"] > 1

    async def reference(self, messages: Messages, n_tokens: int = 16) -> ChatCompletion:
        key = f"{n_tokens} {messages}"
        if key not in self._known:
            answer = await ask(self.alone, messages, n_tokens=n_tokens, extra_body={"cache_prompt": False})
            assert n_cached(answer) == 0
            self._known[key] = answer
        return self._known[key]

    async def check(self, messages: Messages, **options: Any) -> ChatCompletion:
        """Ask, and compare with the answer computed alone."""
        answer = await ask(self.client, messages, **options)
        await self.compare(answer, messages)
        return answer

    async def compare(self, answer: ChatCompletion, messages: Messages) -> None:
        assert answer.usage is not None
        n_tokens = answer.usage.completion_tokens // len(answer.choices)
        assert_same_choices(answer, await self.reference(messages, n_tokens), self.tolerance)

    async def check_counted(self, messages: Messages, **options: Any) -> ChatCompletion:
        """As `check`, with nothing else at work: what was not cached was computed, each token once."""
        before = stats(self.client)
        answer = await self.check(messages, **options)
        after = stats(self.client)
        assert after["n_cached"] - before["n_cached"] == n_cached(answer)
        assert after["n_prefilled"] - before["n_prefilled"] == n_prompt(answer) - n_cached(answer)
        # The last token's logits start the answer: it is always computed.
        assert 0 <= n_cached(answer) < n_prompt(answer)
        return answer


async def together(*calls: Callable[[], Any]) -> list[Any]:
    results: list[Any] = [None] * len(calls)

    async def run(index: int, call: Callable[[], Any]) -> None:
        results[index] = await call()

    async with anyio.create_task_group() as tasks:
        for index, call in enumerate(calls):
            tasks.start_soon(run, index, call)
    return results


async def ask_together(bench: Bench, prompts: list[Messages], **options: Any) -> list[ChatCompletion]:
    """Ask all at once, and compare each with its own answer."""

    def call(messages: Messages) -> Callable[[], Any]:
        return lambda: ask(bench.client, messages, **options)

    answers = await together(*(call(messages) for messages in prompts))
    for answer, messages in zip(answers, prompts, strict=True):
        await bench.compare(answer, messages)
    return answers
