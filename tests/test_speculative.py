"""Guessed tokens change how many steps an answer takes, never the answer.

Each answer is compared with one computed alone, without guesses, in an engine of its own: token by token, up to where
two candidates were so close that rounding decides (tests/alone.py). Guesses are forced here (`adaptive` false): whether
they pay depends on the machine. The tiny models babble in loops: lookups find much, and much of it is wrong.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from alone import (
    EXACT,
    SMOLLM2_TOLERANCE,
    TINY_TOLERANCE,
    Bench,
    ask,
    ask_together,
    assert_same_choices,
    babble,
    say,
    together,
)
from support import CLIENT_OPTIONS, is_idle, stats, until
from tools.tiny_models import TINY_MODELS, tiny_mtp

from llama_async import AsyncLlama, BadRequestError, ModelLoadError, OptionError
from llama_async.types.chat import ChatCompletion

pytestmark = pytest.mark.anyio

# The native engine does not see which loop drains it.
ONLY_ASYNCIO = True

_NGRAMS = ("ngram-simple", "ngram-map-k", "ngram-map-k4v", "ngram-mod", "ngram-cache")
_LAYOUTS = {
    "partitioned": {"n_parallel": 4, "kv_unified": False},
    "unified": {"n_parallel": 4, "kv_unified": True},
}
# Kinds of memory that cannot take back what was computed: nothing is guessed for them.
_NO_WAY_BACK = ("mamba", "hybrid")
_EAGER: dict[str, Any] = {"speculative": {"type": "ngram", "ngram_size_n": 2, "adaptive": False}}
_CODE = (
    "def area(width, height):\n    return width * height\n\n\n"
    "def volume(width, height, depth):\n    return area(width, height) * depth\n"
)


@pytest.fixture(scope="module", params=TINY_MODELS)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    directory = tmp_path_factory.mktemp(request.param)
    return request.param, TINY_MODELS[request.param](directory / "tiny.gguf")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return TINY_MODELS["llama"](tmp_path_factory.mktemp("speculative") / "tiny.gguf")


@pytest.fixture(params=_LAYOUTS)
async def bench(request: pytest.FixtureRequest, tiny: tuple[str, Path]) -> AsyncIterator[Bench]:
    kind, path = tiny
    async with (
        AsyncLlama(path, n_ubatch=64, **EXACT, **_LAYOUTS[request.param]) as client,
        AsyncLlama(path, n_parallel=1, **EXACT) as alone,
    ):
        yield Bench(client, alone, kind, TINY_TOLERANCE)


@pytest.fixture(scope="module")
async def smol(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, speculative="ngram", **CLIENT_OPTIONS) as client:
        yield client


def _n_guessed(client: AsyncLlama) -> tuple[int, int]:
    now = stats(client)
    return int(now["n_drafted"]), int(now["n_accepted"])


def _text(answer: ChatCompletion) -> str:
    return answer.choices[0].message.content or ""


# -- answers are what they would be ------------------------------------------------------------------------------------


async def test_answers_are_those_without_guesses(bench: Bench) -> None:
    for seed in range(3):
        messages = say(babble(seed, 60) * 3)
        said = _text(await bench.reference(messages, 48))
        # Mostly right, with a wrong character now and then.
        predicted = "".join("?" if place % 9 == 8 else character for place, character in enumerate(said))
        await bench.check(
            messages, n_tokens=48, prediction={"type": "content", "content": predicted}, extra_body=_EAGER
        )
    n_drafted, n_accepted = _n_guessed(bench.client)
    if bench.kind in _NO_WAY_BACK:
        assert n_drafted == 0
    else:
        assert 0 < n_accepted < n_drafted


@pytest.mark.parametrize("n_parallel", [1, 3])
async def test_a_state_that_steps_back_by_itself(tmp_path: Path, n_parallel: int) -> None:
    """Upstream keeps snapshots for this hybrid architecture, if they are asked for when the model is loaded."""
    path = TINY_MODELS["hybrid"](tmp_path / "tiny.gguf")
    speculative = {"type": "ngram", "ngram_size_n": 2, "n_max": 4, "adaptive": False}
    async with (
        AsyncLlama(path, speculative=speculative, n_parallel=n_parallel, n_ubatch=64, **EXACT) as client,
        AsyncLlama(path, n_parallel=1, **EXACT) as alone,
    ):
        bench = Bench(client, alone, "hybrid", TINY_TOLERANCE)
        for seed in range(3):
            messages = say(babble(seed, 60) * 3)
            said = _text(await bench.reference(messages, 40))
            predicted = "".join("?" if place % 9 == 8 else character for place, character in enumerate(said))
            prediction = {"type": "content", "content": predicted}
            for _ in range(2):
                await bench.check(messages, n_tokens=40, prediction=prediction)
            # The next turn starts from what is cached of this one.
            turns = [*messages, {"role": "assistant", "content": said}, *say("more")]
            await bench.check(turns, n_tokens=8)
        await ask_together(bench, [say(babble(seed, 60) * 3) for seed in range(4)], n_tokens=24)
        n_drafted, n_accepted = _n_guessed(client)
        assert 0 < n_accepted < n_drafted


@pytest.mark.parametrize("kind", _NGRAMS)
async def test_every_kind_keeps_the_answer(llama: Path, kind: str) -> None:
    speculative = {"type": kind, "ngram_size_n": 2, "n_max": 6, "adaptive": False}
    async with AsyncLlama(llama, speculative=speculative, **EXACT) as client, AsyncLlama(llama, **EXACT) as alone:
        bench = Bench(client, alone, "llama", TINY_TOLERANCE)
        for seed in range(3):
            await bench.check(say(babble(seed, 60) * 3), n_tokens=64)
        assert _n_guessed(client)[0] > 0


async def test_together_and_cancelled_and_with_cached_prefixes(bench: Bench) -> None:
    start = babble(1, 80) * 2
    prompts = [say(start + babble(seed, 30)) for seed in range(8)]

    async def cancelled() -> None:
        stream = await bench.client.chat.completions.create(
            model="default", messages=say(start), stream=True, extra_body={"ignore_eos": True, **_EAGER}
        )
        async for _ in stream:
            break
        await stream.close()

    answers = await together(
        *(
            lambda messages=messages: ask(bench.client, messages, n_tokens=40, extra_body=_EAGER)
            for messages in prompts
        ),
        *([cancelled] * 3),
    )
    for answer, messages in zip(answers[:8], prompts, strict=True):
        await bench.compare(answer, messages)
    await until(lambda: is_idle(bench.client))
    # What the guesses left behind must not be found in the cache.
    for messages in prompts[:3]:
        await bench.check(messages, n_tokens=24, extra_body=_EAGER)
        await bench.check([*messages, {"role": "assistant", "content": "yes"}, *say("more")], n_tokens=8)


async def test_sampled_answers_are_those_without_guesses(llama: Path) -> None:
    async with AsyncLlama(llama, **EXACT) as client:
        options: dict[str, Any] = {
            "model": "default",
            "messages": say(babble(4, 80) * 3),
            "max_tokens": 48,
            "n": 3,
            "seed": 7,
            "frequency_penalty": 0.2,
        }
        for temperature in (0.2, 0.6):
            answers = [
                await client.chat.completions.create(
                    **options, temperature=temperature, extra_body={"ignore_eos": True, "cache_prompt": False, **extra}
                )
                for extra in ({}, _EAGER)
            ]
            assert [c.message.content for c in answers[0].choices] == [c.message.content for c in answers[1].choices]
        assert _n_guessed(client)[0] > 0


async def test_preempted_sequences_go_on(llama: Path) -> None:
    options = {**EXACT, "n_ctx": 512}
    async with (
        AsyncLlama(llama, kv_unified=True, n_kv=640, n_parallel=4, **options) as client,
        AsyncLlama(llama, n_parallel=1, **options) as alone,
    ):
        bench = Bench(client, alone, "llama", TINY_TOLERANCE)
        prompts = [say(babble(seed, 60) * 2) for seed in range(4)]
        answers = await together(
            *(lambda messages=messages: ask(client, messages, n_tokens=100, extra_body=_EAGER) for messages in prompts)
        )
        for answer, messages in zip(answers, prompts, strict=True):
            await bench.compare(answer, messages)
        assert stats(client)["n_preempted"] > 0
        assert _n_guessed(client)[1] > 0


# -- by a model --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
async def test_a_draft_model_guesses(llama: Path, tmp_path: Path, seed: int) -> None:
    """The model itself, which is right nearly always, or another with its vocabulary, which is wrong nearly always."""
    draft = TINY_MODELS["llama"](tmp_path / "draft.gguf", seed=seed)
    async with (
        AsyncLlama(llama, draft_model=draft, draft_max=4, **EXACT) as client,
        AsyncLlama(llama, n_parallel=1, **EXACT) as alone,
    ):
        bench = Bench(client, alone, "llama", TINY_TOLERANCE)
        eager = {"speculative.adaptive": False}
        start = babble(9, 150)
        prompts = [say(start + babble(seed, 30)) for seed in range(6)]
        await bench.check(prompts[0], n_tokens=32, extra_body=eager)
        answers = await together(
            *(lambda messages=messages: ask(client, messages, n_tokens=32, extra_body=eager) for messages in prompts)
        )
        for answer, messages in zip(answers, prompts, strict=True):
            await bench.compare(answer, messages)
        n_drafted, n_accepted = _n_guessed(client)
        assert n_drafted > 100
        assert n_accepted > 0.8 * n_drafted if seed == 0 else n_accepted < 0.5 * n_drafted


async def test_a_draft_model_of_another_vocabulary_is_refused(llama: Path, model_path: Path) -> None:
    client = AsyncLlama(llama, draft_model=model_path, **EXACT)
    with pytest.raises(ModelLoadError, match="another vocabulary"):
        await client.load()
    await client.close()


@pytest.mark.parametrize("layout", _LAYOUTS)
async def test_heads_of_the_model_guess(tmp_path: Path, layout: str) -> None:
    path = tiny_mtp(tmp_path / "tiny.gguf")
    speculative = {"type": "mtp", "adaptive": False, "n_max": 3}
    async with (
        AsyncLlama(path, speculative=speculative, **EXACT, **_LAYOUTS[layout]) as client,
        AsyncLlama(path, n_parallel=1, **EXACT) as alone,
    ):
        bench = Bench(client, alone, "llama", TINY_TOLERANCE)
        start = babble(9, 150)
        prompts = [say(start + babble(seed, 30)) for seed in range(6)]
        await bench.check(prompts[0], n_tokens=32)
        await ask_together(bench, prompts, n_tokens=32)
        n_drafted, n_accepted = _n_guessed(client)
        assert n_accepted <= n_drafted
        assert n_drafted > 100


async def test_heads_are_asked_of_models_that_have_them(llama: Path) -> None:
    client = AsyncLlama(llama, speculative="mtp", **EXACT)
    with pytest.raises(ModelLoadError, match="draft-mtp"):
        await client.load()
    await client.close()


# -- all else that a request may ask for -------------------------------------------------------------------------------


async def test_a_text_that_repeats_itself_takes_fewer_steps(smol: AsyncLlama, shared_client: AsyncLlama) -> None:
    messages = say(f"Repeat this code three times, without a word of your own:\n{_CODE}")
    before = stats(smol)
    extra_body = {"cache_prompt": False, "speculative.adaptive": False}
    answer = await ask(smol, messages, n_tokens=48, extra_body=extra_body)
    reference = await ask(shared_client, messages, n_tokens=48, extra_body={"cache_prompt": False})
    assert_same_choices(answer, reference, SMOLLM2_TOLERANCE)
    after = stats(smol)
    n_accepted = after["n_accepted"] - before["n_accepted"]
    assert n_accepted >= 10
    # A step each, but for what was guessed right; and a step or two for the prompt.
    assert after["n_steps"] - before["n_steps"] <= 48 - n_accepted + 4


async def test_a_stop_string_ends_within_a_guess(smol: AsyncLlama) -> None:
    options: dict[str, Any] = {"model": "default", "temperature": 0, "max_tokens": 32}
    messages = say(f"Repeat this:\n{_CODE}")
    predicted = {"type": "content", "content": _CODE}
    eager = {"cache_prompt": False, "speculative.adaptive": False}
    whole = await smol.chat.completions.create(**options, messages=messages, prediction=predicted, extra_body=eager)
    assert "height" in _text(whole)
    cut = await smol.chat.completions.create(
        **options, messages=messages, prediction=predicted, stop="height", extra_body=eager
    )
    assert _text(cut) == _text(whole).partition("height")[0]
    assert cut.choices[0].finish_reason == "stop"
    short = await smol.chat.completions.create(
        **{**options, "max_tokens": 7}, messages=messages, prediction=predicted, extra_body=eager
    )
    assert short.usage is not None
    assert short.usage.completion_tokens == 7


async def test_a_schema_holds_whatever_is_predicted(smol: AsyncLlama) -> None:
    schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "ages": {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
        },
        "required": ["name", "ages"],
        "additionalProperties": False,
    }
    for content in (
        '{"name": "Ann", "ages": [1, 2, 3, 4, 5]}',
        '{"name": "A very long name indeed", "ages": "no"}',
        "Sure!",
    ):
        answer = await smol.chat.completions.create(
            model="default",
            messages=say("Ann, 1, 2 and 3, as JSON."),
            temperature=0.8,
            seed=3,
            max_tokens=48,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "person", "schema": schema, "strict": True},
            },
            prediction={"type": "content", "content": content},
            extra_body={"speculative.adaptive": False},
        )
        value = json.loads(_text(answer))
        assert len(value["ages"]) == 3
        assert len(value["name"]) <= 12


async def test_a_stream_has_every_token_once(smol: AsyncLlama) -> None:
    messages = say(f"Repeat this:\n{_CODE}")
    options: dict[str, Any] = {"model": "default", "messages": messages, "temperature": 0, "max_tokens": 32}
    eager = {"cache_prompt": False, "ignore_eos": True, "speculative.adaptive": False}
    whole = await smol.chat.completions.create(**options, logprobs=True, extra_body=eager)
    stream = await smol.chat.completions.create(
        **options, logprobs=True, stream=True, stream_options={"include_usage": True}, extra_body=eager
    )
    text, tokens, usage = "", [], None
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            if choice.logprobs is not None:
                tokens += [entry.bytes for entry in choice.logprobs.content or []]
        usage = chunk.usage or usage
    assert whole.choices[0].logprobs is not None
    assert text == _text(whole)
    assert tokens == [entry.bytes for entry in whole.choices[0].logprobs.content or []]
    assert usage is not None
    assert usage.completion_tokens == 32


# -- predictions -------------------------------------------------------------------------------------------------------


async def test_a_prediction_is_counted(shared_client: AsyncLlama) -> None:
    messages = say("Write a list of the colours of the rainbow.")
    options: dict[str, Any] = {"model": "default", "messages": messages, "temperature": 0, "max_tokens": 24}
    body = {"ignore_eos": True, "cache_prompt": False, "speculative.adaptive": False}
    plain = await shared_client.chat.completions.create(**options, extra_body=body)
    assert plain.usage is not None
    assert plain.usage.completion_tokens_details is not None
    assert plain.usage.completion_tokens_details.accepted_prediction_tokens is None
    before = _n_guessed(shared_client)
    for content in (_text(plain), [{"type": "text", "text": _text(plain)}]):
        right = await shared_client.chat.completions.create(
            **options, prediction={"type": "content", "content": content}, extra_body=body
        )
        assert right.usage is not None
        assert right.usage.completion_tokens_details is not None
        assert (right.usage.completion_tokens_details.accepted_prediction_tokens or 0) >= 18
    assert _n_guessed(shared_client)[1] - before[1] >= 34
    wrong = await shared_client.chat.completions.create(
        **options, prediction={"type": "content", "content": "0123456789" * 8}, extra_body=body
    )
    assert wrong.usage is not None
    details = wrong.usage.completion_tokens_details
    assert details is not None
    assert details.accepted_prediction_tokens == 0
    assert (details.rejected_prediction_tokens or 0) >= 80


async def test_guesses_can_be_turned_off(smol: AsyncLlama) -> None:
    messages = say(f"Repeat this:\n{_CODE}")
    for extra_body in ({"speculative": False}, {"speculative": "none"}, {"speculative.n_max": 0}):
        before = _n_guessed(smol)
        await ask(smol, messages, n_tokens=24, extra_body={**extra_body, "speculative.adaptive": False})
        assert _n_guessed(smol) == before


async def test_wrong_wishes_are_refused(shared_client: AsyncLlama) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"extra_body": {"speculative": "magic"}}, "speculative"),
        ({"extra_body": {"speculative": True}}, "speculative"),
        ({"extra_body": {"speculative": {"n_maxx": 3}}}, "speculative"),
        ({"extra_body": {"speculative": {"n_max": -1}}}, "speculative.n_max"),
        ({"extra_body": {"speculative.n_max": 1000}}, "speculative.n_max"),
        ({"extra_body": {"speculative": {"p_min": float("nan")}}}, "speculative.p_min"),
        ({"extra_body": {"speculative": "draft"}}, "speculative"),  # no draft model is loaded
        ({"extra_body": {"speculative": "mtp"}}, "speculative"),
        ({"prediction": "text"}, "prediction"),
        ({"prediction": {"type": "content", "content": 5}}, "prediction.content"),
        ({"prediction": {"type": "content", "content": [{"type": "image_url"}]}}, "prediction.content[0]"),
    ]
    for parameters, param in wrong:
        with pytest.raises(BadRequestError) as caught:
            await shared_client.chat.completions.create(model="default", messages=say("x"), max_tokens=1, **parameters)
        assert caught.value.param == param


async def test_a_client_that_names_nothing_known_is_refused(model_path: Path) -> None:
    for options in (
        {"speculative": "magic"},
        {"speculative": "draft"},
        {"draft_max": 1000},
        {"speculative": 3},
        {"speculative": {"n": 3}},
    ):
        with pytest.raises(OptionError):
            AsyncLlama(model_path, **options)  # type: ignore[arg-type]


async def test_wrong_guesses_do_not_cost_much(smol: AsyncLlama) -> None:
    """Where nothing comes true, nearly nothing is tried."""
    messages = say("Tell me a story.")
    before = stats(smol)
    await smol.chat.completions.create(
        model="default",
        messages=messages,
        temperature=1.0,
        seed=5,
        max_tokens=60,
        prediction={"type": "content", "content": "0123456789 " * 40},
        extra_body={"ignore_eos": True},
    )
    after = stats(smol)
    with anyio.fail_after(30):
        await until(lambda: is_idle(smol))
    # Two tokens' worth at first, a hundredth of the answer, and the few that chance makes right.
    assert after["n_steps"] - before["n_steps"] >= 52
