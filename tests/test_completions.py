"""`completions.create`: prompts of every kind, echo, scores, the best of several, suffixes, streams, errors."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import openai.types
import pytest
from support import is_idle, stats, until
from tools.tiny_models import llama_model, tiny_llama

from llama_async import APIError, APITimeoutError, AsyncLlama, BadRequestError, RateLimitError, StreamClosedError
from llama_async._abi import SegmentFlag, SegmentKind
from llama_async._text_request import completion_request
from llama_async.lowlevel import ffi, lib
from llama_async.types import Completion

pytestmark = pytest.mark.anyio

PROMPT = "The capital of France is"
GREEDY: dict[str, Any] = {"model": "default", "temperature": 0, "extra_body": {"cache_prompt": False}}
ENDLESS: dict[str, Any] = {"model": "default", "prompt": PROMPT, "max_tokens": 900, "extra_body": {"ignore_eos": True}}
FACTS: dict[str, Any] = {
    "add_bos": True,
    "n_vocab": 100,
    "token_bos": 1,
    "token_eos": 2,
    "token_fim_pre": 50,
    "token_fim_suf": 51,
    "token_fim_mid": 52,
}


ONLY_ASYNCIO = True


@pytest.fixture(scope="module")
async def shared_client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, n_ctx=1024, n_parallel=4, n_threads=1) as client:
        yield client


def text_of(chunks: list[Completion], index: int = 0) -> str:
    return "".join(choice.text for chunk in chunks for choice in chunk.choices if choice.index == index)


async def read(stream: Any) -> list[Completion]:
    return [chunk async for chunk in stream]


# -- the answer --------------------------------------------------------------------------------------------------------


async def test_answer(shared_client: AsyncLlama) -> None:
    answer = await shared_client.completions.create(prompt=PROMPT, max_tokens=4, **GREEDY)
    assert isinstance(answer, Completion)
    assert answer.id.startswith("cmpl-")
    assert answer.object == "text_completion"
    assert answer.model == "default"
    assert answer._request_id
    [choice] = answer.choices
    assert choice.text.startswith(" Paris")
    assert choice.finish_reason == "length"
    assert choice.logprobs is None
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (5, 4, 9)
    # Built without validation, it has to pass it, ours and openai's.
    wire = answer.to_dict()
    assert Completion.model_validate(wire) == answer
    openai.types.Completion.model_validate(wire)


async def test_sixteen_tokens_where_nothing_is_said(shared_client: AsyncLlama) -> None:
    answer = await shared_client.completions.create(
        model="default", prompt=PROMPT, extra_body={"ignore_eos": True, "cache_prompt": False}
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 16


async def test_prompts_of_every_kind(shared_client: AsyncLlama) -> None:
    tokens = await shared_client.tokenize(PROMPT)
    other = "One, two, three,"
    create = shared_client.completions.create
    alone = [(await create(prompt=prompt, max_tokens=4, **GREEDY)).choices[0].text for prompt in (PROMPT, other)]
    for prompt in ([PROMPT, other], [tokens, await shared_client.tokenize(other)], (tuple(tokens), other)[:1]):
        answer = await create(prompt=prompt, max_tokens=4, **GREEDY)
        assert [choice.text for choice in answer.choices] == alone[: len(answer.choices)]
        assert [choice.index for choice in answer.choices] == list(range(len(answer.choices)))
    assert (await create(prompt=tokens, max_tokens=4, **GREEDY)).choices[0].text == alone[0]


async def test_without_a_prompt_a_document_begins(shared_client: AsyncLlama) -> None:
    prompts: list[Any] = [None, "", ["", ""]]
    for prompt in prompts:
        answer = await shared_client.completions.create(prompt=prompt, max_tokens=2, echo=True, logprobs=0, **GREEDY)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == (2 if prompt == ["", ""] else 1)
        logprobs = answer.choices[0].logprobs
        assert logprobs is not None
        assert logprobs.tokens is not None
        assert logprobs.tokens[0] == "<|im_start|>"
        assert not answer.choices[0].text.startswith("<|im_start|>")


async def test_choices_of_several_prompts(shared_client: AsyncLlama) -> None:
    answer = await shared_client.completions.create(
        model="default", prompt=["A", "B", "C"], n=2, max_tokens=3, seed=1, extra_body={"ignore_eos": True}
    )
    assert [choice.index for choice in answer.choices] == list(range(6))
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 18
    assert answer.usage.prompt_tokens == 3


async def test_stop_ends_it(shared_client: AsyncLlama) -> None:
    answer = await shared_client.completions.create(prompt=PROMPT, max_tokens=20, stop=".", logprobs=1, **GREEDY)
    [choice] = answer.choices
    assert (choice.text, choice.finish_reason) == (" Paris", "stop")
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == [" Paris"]


async def test_best_of(shared_client: AsyncLlama) -> None:
    parameters: dict[str, Any] = {
        "model": "default",
        "prompt": ["Once upon", "In the"],
        "seed": 7,
        "max_tokens": 6,
        "logprobs": 0,
        "temperature": 1.5,
        "extra_body": {"ignore_eos": True, "cache_prompt": False},
    }
    every = await shared_client.completions.create(n=4, **parameters)
    best = await shared_client.completions.create(n=2, best_of=4, **parameters)

    def score(choice: Any) -> float:
        return sum(choice.logprobs.token_logprobs) / len(choice.logprobs.token_logprobs)

    assert [choice.index for choice in best.choices] == [0, 1, 2, 3]
    for prompt in range(2):
        ranked = sorted(map(score, every.choices[4 * prompt : 4 * prompt + 4]), reverse=True)
        chosen = [score(choice) for choice in best.choices[2 * prompt : 2 * prompt + 2]]
        # Not the same bits: what runs beside a request moves its logits.
        assert chosen == sorted(chosen, reverse=True)
        assert chosen[0] == pytest.approx(ranked[0], abs=0.3)
    assert best.usage is not None
    assert best.usage.completion_tokens == 2 * 4 * 6
    plain = await shared_client.completions.create(**{**parameters, "logprobs": None}, n=1, best_of=2)
    assert all(choice.logprobs is None for choice in plain.choices)


# -- log probabilities -------------------------------------------------------------------------------------------------


async def test_legacy_logprobs(shared_client: AsyncLlama) -> None:
    answer = await shared_client.completions.create(prompt=PROMPT, max_tokens=5, logprobs=3, **GREEDY)
    [choice] = answer.choices
    logprobs = choice.logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert logprobs.text_offset is not None
    assert logprobs.token_logprobs is not None
    assert logprobs.top_logprobs is not None
    assert "".join(logprobs.tokens) == choice.text
    for token, offset, logprob, top in zip(
        logprobs.tokens, logprobs.text_offset, logprobs.token_logprobs, logprobs.top_logprobs, strict=True
    ):
        assert choice.text[offset:].startswith(token)
        assert len(top) == 3  # greedy: the chosen one is among them
        assert max(top.values()) == top[token] == logprob
    none = await shared_client.completions.create(prompt=PROMPT, max_tokens=1, logprobs=0, **GREEDY)
    assert none.choices[0].logprobs is not None
    assert [list(top) for top in none.choices[0].logprobs.top_logprobs or []] == [[" Paris"]]


async def test_offsets_where_tokens_split_characters(shared_client: AsyncLlama) -> None:
    text = "naïve 🦙 日本 <|im_end|> x"
    answer = await shared_client.completions.create(prompt=text, max_tokens=0, echo=True, logprobs=0, **GREEDY)
    logprobs = answer.choices[0].logprobs
    assert answer.choices[0].text == text
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert logprobs.text_offset is not None
    assert logprobs.text_offset == sorted(logprobs.text_offset)
    assert any(token.startswith("bytes:\\x") for token in logprobs.tokens)
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert token.startswith("bytes:") or text[offset:].startswith(token)


async def test_a_text_is_scored(shared_client: AsyncLlama) -> None:
    """openai's classic use: echo and no answer."""
    tokens = await shared_client.tokenize(PROMPT)
    prompts: list[Any] = [PROMPT, tokens]
    answers = [
        await shared_client.completions.create(model="default", prompt=prompt, max_tokens=0, echo=True, logprobs=1, n=2)
        for prompt in prompts
    ]
    for answer in answers:
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 0
        for choice in answer.choices:
            assert (choice.text, choice.finish_reason) == (PROMPT, "length")
            assert choice.logprobs is not None
            assert choice.logprobs.token_logprobs is not None
            assert choice.logprobs.top_logprobs is not None
            assert choice.logprobs.token_logprobs[0] is None
            assert choice.logprobs.top_logprobs[0] is None
            assert len(choice.logprobs.token_logprobs) == len(tokens)
    assert answers[0].choices[0].logprobs == answers[1].choices[0].logprobs


async def test_echo_without_scores(shared_client: AsyncLlama) -> None:
    tokens = await shared_client.tokenize(PROMPT)
    for prompt in (PROMPT, tokens):
        answer = await shared_client.completions.create(prompt=prompt, max_tokens=2, echo=True, **GREEDY)
        assert answer.choices[0].text.startswith(f"{PROMPT} Paris")
        assert answer.choices[0].logprobs is None
    answer = await shared_client.completions.create(prompt=tokens, max_tokens=0, echo=True, **GREEDY)
    assert answer.choices[0].text == PROMPT


def by_hand(model_path: Path, tokens: list[int], n_at_once: int) -> list[float]:
    """Log probabilities of tokens after the first, from a bare llama_decode."""
    model = lib.llama_model_load_from_file(str(model_path).encode(), lib.llama_model_default_params())
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch, params.n_threads, params.n_threads_batch = 1024, 512, 512, 1, 1
    context = lib.llama_init_from_model(model, params)
    n_vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    batch = lib.llama_batch_init(n_at_once, 0, 1)
    found = []
    for start in range(0, len(tokens), n_at_once):
        piece = tokens[start : start + n_at_once]
        batch.n_tokens = len(piece)
        for row, token in enumerate(piece):
            batch.token[row], batch.pos[row], batch.n_seq_id[row], batch.logits[row] = token, start + row, 1, 1
            batch.seq_id[row][0] = 0
        assert lib.llama_decode(context, batch) == 0
        for row in range(len(piece)):
            if start + row + 1 < len(tokens):
                data = ffi.buffer(lib.llama_get_logits_ith(context, row), 4 * n_vocab)
                logits = np.frombuffer(data, np.float32).astype(np.float64)
                log_sum = logits.max() + np.log(np.exp(logits - logits.max()).sum())
                found.append(float(logits[tokens[start + row + 1]] - log_sum))
    lib.llama_batch_free(batch)
    lib.llama_free(context)
    lib.llama_model_free(model)
    return found


async def test_scores_are_those_of_a_bare_decode(shared_client: AsyncLlama, model_path: Path) -> None:
    text = "It was the best of times, it was the worst of times, it was the age of wisdom. " * 7
    tokens = await shared_client.tokenize(text)
    # A prefix that may not be taken from the cache: its logits were not kept.
    await shared_client.completions.create(model="default", prompt=text, max_tokens=1)
    answer = await shared_client.completions.create(
        model="default", prompt=text, max_tokens=0, echo=True, logprobs=0, temperature=0
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.token_logprobs is not None
    # As many at once as the engine: 16 MiB of logits. Other parts would move them.
    n_at_once = (16 << 20) // (4 * 49152)
    assert len(tokens) > n_at_once
    assert logprobs.token_logprobs[1:] == pytest.approx(by_hand(model_path, tokens, n_at_once), abs=1e-3)


async def test_scoring_beside_a_stream(shared_client: AsyncLlama) -> None:
    text = "word " * 120
    async with await shared_client.completions.create(stream=True, **ENDLESS) as stream:
        await anext(aiter(stream))
        answer = await shared_client.completions.create(
            model="default", prompt=text, max_tokens=2, echo=True, logprobs=2, temperature=0
        )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert answer.usage is not None
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0
    assert len(logprobs.tokens) == answer.usage.total_tokens
    assert answer.choices[0].text.startswith(text)


# -- filling in the middle ---------------------------------------------------------------------------------------------


def segments_of(facts: dict[str, Any], **parameters: Any) -> list[tuple[Any, ...]]:
    [prompt] = completion_request("m", parameters).prompts(facts)
    return [
        (segment.kind, list(array("i", segment.data)))
        if segment.kind is SegmentKind.TOKENS
        else (segment.kind, segment.data.decode(), segment.flags)
        for segment in prompt.encode()
    ]


def test_suffix_in_the_order_prefix_suffix_middle() -> None:
    expected = [
        (SegmentKind.TOKENS, [1, 50]),
        (SegmentKind.TEXT, "def f(", SegmentFlag.NONE),
        (SegmentKind.TOKENS, [51]),
        (SegmentKind.TEXT, "): pass", SegmentFlag.NONE),
        (SegmentKind.TOKENS, [52]),
    ]
    assert segments_of(FACTS, prompt="def f(", suffix="): pass") == expected
    assert segments_of({**FACTS, "add_bos": False}, prompt="def f(", suffix="): pass")[0] == (
        SegmentKind.TOKENS,
        [50],
    )
    assert segments_of(FACTS, prompt=[7, 8], suffix="x")[1] == (SegmentKind.TOKENS, [7, 8])
    assert segments_of(FACTS, prompt=None, suffix="x")[1] == (SegmentKind.TOKENS, [51])
    plain = [(SegmentKind.TEXT, "a", SegmentFlag.ADD_SPECIAL | SegmentFlag.PARSE_SPECIAL)]
    assert segments_of(FACTS, prompt="a", suffix="") == plain


async def test_suffix_with_a_model_that_has_tokens_for_it(tmp_path: Path) -> None:
    model = llama_model(chat_template=None)
    for name, token in (("pre", 270), ("suf", 271), ("mid", 272)):
        model.metadata[f"tokenizer.ggml.fim_{name}_token_id"] = token
    async with AsyncLlama(model.save(tmp_path / "fim.gguf"), n_ctx=256, n_threads=1) as client:
        tokens = await client.tokenize(["ab", "cd"])
        n = sum(map(len, tokens))
        answer = await client.completions.create(
            model="default", prompt="ab", suffix="cd", max_tokens=3, echo=True, temperature=0
        )
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == n + 4  # with BOS
        assert answer.choices[0].text.startswith("ab")
        by_tokens = await client.completions.create(
            model="default", prompt=[1, 270, *tokens[0], 271, *tokens[1], 272], max_tokens=3, temperature=0
        )
        assert answer.choices[0].text == "ab" + by_tokens.choices[0].text


async def test_suffix_with_a_model_that_has_none(shared_client: AsyncLlama) -> None:
    with pytest.raises(BadRequestError, match="no tokens for filling in the middle") as caught:
        await shared_client.completions.create(model="default", prompt="a", suffix="b")
    assert caught.value.param == "suffix"


# -- streams -----------------------------------------------------------------------------------------------------------


async def test_stream(shared_client: AsyncLlama) -> None:
    whole = await shared_client.completions.create(prompt=PROMPT, max_tokens=8, **GREEDY)
    stream = await shared_client.completions.create(prompt=PROMPT, max_tokens=8, stream=True, **GREEDY)
    chunks = await read(stream)
    assert all(chunk.object == "text_completion" for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == 1
    assert text_of(chunks) == whole.choices[0].text
    assert [choice.finish_reason for choice in chunks[-1].choices] == ["length"]
    assert all(chunk.usage is None for chunk in chunks)
    assert "usage" not in chunks[0].to_dict()
    assert stream.response.request.url.path == "/v1/completions"


@pytest.mark.parametrize("logprobs", [None, 1])
async def test_stream_of_several_prompts(shared_client: AsyncLlama, logprobs: int | None) -> None:
    parameters: dict[str, Any] = {
        "prompt": [PROMPT, "One, two, three,"],
        "n": 2,
        "max_tokens": 4,
        "echo": True,
        "logprobs": logprobs,
        **GREEDY,
    }
    whole = await shared_client.completions.create(**parameters)
    stream = await shared_client.completions.create(stream=True, stream_options={"include_usage": True}, **parameters)
    chunks = await read(stream)
    for index in range(4):
        assert text_of(chunks, index).startswith(parameters["prompt"][index // 2])
        parts = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert [part.finish_reason for part in parts if part.finish_reason] == ["length"]
        offsets = [at for part in parts if part.logprobs for at in part.logprobs.text_offset or []]
        tokens = [token for part in parts if part.logprobs for token in part.logprobs.tokens or []]
        assert "".join(tokens) == (text_of(chunks, index) if logprobs else "")
        for token, offset in zip(tokens, offsets, strict=True):
            assert text_of(chunks, index)[offset:].startswith(token)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens == 16
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens


async def test_closing_a_stream_ends_every_prompt(shared_client: AsyncLlama) -> None:
    stream = await shared_client.completions.create(stream=True, **{**ENDLESS, "prompt": ["a", "b", "c"]})
    await anext(stream)
    assert stats(shared_client)["n_running"] > 0
    await stream.close()
    await until(lambda: is_idle(shared_client))
    with pytest.raises(StreamClosedError):
        await anext(stream)


async def test_dropping_a_stream_ends_every_prompt(shared_client: AsyncLlama) -> None:
    stream = await shared_client.completions.create(stream=True, **{**ENDLESS, "prompt": ["a", "b"]})
    await anext(stream)
    del stream
    await until(lambda: is_idle(shared_client))


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelling_ends_every_prompt(shared_client: AsyncLlama, stream: bool) -> None:
    async def ask() -> None:
        answer = await shared_client.completions.create(stream=stream, **{**ENDLESS, "prompt": ["a", "b", "c"]})
        if stream:
            await read(answer)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await until(lambda: stats(shared_client)["n_running"] == 3)
        tasks.cancel_scope.cancel()
    await until(lambda: is_idle(shared_client))


# -- errors ------------------------------------------------------------------------------------------------------------


async def test_one_bad_prompt_ends_the_others(shared_client: AsyncLlama) -> None:
    for stream in (False, True):
        with pytest.raises(BadRequestError) as caught:
            await shared_client.completions.create(stream=stream, **{**ENDLESS, "prompt": ["word " * 2000, "a", "b"]})
        assert caught.value.code == "context_length_exceeded"
        await until(lambda: is_idle(shared_client))


async def test_more_prompts_than_the_queue_takes(model_path: Path) -> None:
    async with AsyncLlama(model_path, n_ctx=256, n_parallel=1, n_threads=1, max_queue=2) as client:
        with pytest.raises(RateLimitError):
            await client.completions.create(model="default", prompt=["a"] * 8, max_tokens=200)
        await until(lambda: is_idle(client))


async def test_timeout_ends_every_prompt(shared_client: AsyncLlama) -> None:
    with pytest.raises(APITimeoutError):
        await shared_client.completions.create(timeout=0.2, **{**ENDLESS, "prompt": ["a", "b"]})
    await until(lambda: is_idle(shared_client))


async def test_closing_the_client_in_the_middle(model_path: Path) -> None:
    async with AsyncLlama(model_path, n_ctx=1024, n_parallel=2, n_threads=1) as client:
        stream = await client.completions.create(stream=True, **{**ENDLESS, "prompt": ["a", "b"]})
        await anext(stream)
    with pytest.raises(APIError):
        await read(stream)


@pytest.mark.parametrize(
    ("parameters", "param"),
    [
        ({"prompt": 5}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [[]]}, "prompt[0]"),
        ({"prompt": ["a", 5]}, "prompt[1]"),
        ({"prompt": [["a"]]}, "prompt[0]"),
        ({"prompt": [1, 49152]}, "prompt"),
        ({"prompt": [-1]}, "prompt"),
        ({"prompt": ["a", "\ud800"]}, "prompt[1]"),
        ({"suffix": 5}, "suffix"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"best_of": 0}, "best_of"),
        ({"best_of": 1, "n": 2}, "best_of"),
        ({"best_of": 2, "stream": True}, "best_of"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": 1}, "echo"),
        ({"echo": True, "logprobs": 1, "suffix": "x"}, "suffix"),
        ({"n": 0}, "n"),
        ({"temperature": 3}, "temperature"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"user": 5}, "user"),
        ({"extra_body": {"chat_template_kwargs": {}}}, "chat_template_kwargs"),
        ({"extra_body": {"messages": []}}, "messages"),
    ],
)
async def test_what_is_refused(shared_client: AsyncLlama, parameters: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await shared_client.completions.create(**{"model": "default", "prompt": "a", **parameters})
    assert caught.value.param == param, caught.value


async def test_extra_body(shared_client: AsyncLlama) -> None:
    answer = await shared_client.completions.create(
        model="default", prompt=PROMPT, max_tokens=8, extra_body={"grammar": 'root ::= " yes" | " no"', "max_tokens": 6}
    )
    assert answer.choices[0].text in {" yes", " no"}


async def test_bos_of_a_model_that_wants_one(tmp_path: Path) -> None:
    async with AsyncLlama(tiny_llama(tmp_path / "tiny.gguf"), n_ctx=256, n_threads=1) as client:
        answer = await client.completions.create(
            model="default", prompt=" the of", max_tokens=2, echo=True, logprobs=1, temperature=0
        )
        [choice] = answer.choices
        assert choice.logprobs is not None
        assert choice.logprobs.tokens is not None
        assert choice.logprobs.text_offset is not None
        assert choice.logprobs.tokens[0] == "<s>"
        assert choice.logprobs.text_offset[:2] == [0, 0]
        assert choice.text.startswith(" the of")
        assert choice.logprobs.token_logprobs is not None
        assert choice.logprobs.token_logprobs[1] is not None
