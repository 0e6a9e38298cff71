"""A cached prefix changes how much is computed, never the answer, and `cached_tokens` tells how much was not.

Each answer is compared with one computed alone, from an empty cache, in an engine of its own. The tiny models cover the
kinds of memory: attention, a sliding window, a recurrent state, and both at once.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio
import pytest
from alone import (
    EXACT,
    SMOLLM2_TOLERANCE,
    TINY_TOLERANCE,
    Bench,
    Messages,
    ask,
    ask_together,
    assert_same_choices,
    babble,
    n_cached,
    n_prompt,
    say,
)
from support import is_idle, stats, until
from tools.tiny_models import TINY_MODELS

from llama_async import AsyncLlama
from llama_async.types.chat import ChatCompletion

pytestmark = pytest.mark.anyio

_LAYOUTS = {
    "alone": {"n_parallel": 1, "kv_unified": False},
    "partitioned": {"n_parallel": 4, "kv_unified": False},
    "unified": {"n_parallel": 4, "kv_unified": True},
}

# The native engine does not see which loop drains it.
ONLY_ASYNCIO = True


@pytest.fixture(scope="module", params=TINY_MODELS)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    directory = tmp_path_factory.mktemp(request.param)
    return request.param, TINY_MODELS[request.param](directory / "tiny.gguf")


@pytest.fixture(params=_LAYOUTS)
async def bench(request: pytest.FixtureRequest, tiny: tuple[str, Path]) -> AsyncIterator[Bench]:
    kind, path = tiny
    # Chunks of at most 64 tokens, so that a prompt of 600 takes many steps.
    async with (
        AsyncLlama(path, n_ubatch=64, **EXACT, **_LAYOUTS[request.param]) as client,
        AsyncLlama(path, n_parallel=1, **EXACT) as alone,
    ):
        yield Bench(client, alone, kind, TINY_TOLERANCE)


# -- one after the other -----------------------------------------------------------------------------------------------


async def test_answers_depend_on_the_start_of_the_prompt(bench: Bench) -> None:
    """Else a cache that mixes up prompts would pass all that follows."""
    n_different = 0
    for seed in range(8):
        text = babble(seed, 150)
        one, other = [await bench.reference(say(start + text)) for start in ("A", "B")]
        try:
            assert_same_choices(other, one, bench.tolerance)
        except AssertionError:
            n_different += 1
    assert n_different >= 6


async def test_same_prompt_again(bench: Bench) -> None:
    messages = say(babble(1, 200))
    first = await bench.check_counted(messages)
    assert n_cached(first) == 0
    for _ in range(3):
        again = await bench.check_counted(messages)
        if bench.can_go_back or bench.kind in ("mamba", "hybrid"):  # a checkpoint is left before the last token
            assert n_cached(again) == n_prompt(again) - 1


async def test_prompt_that_starts_alike(bench: Bench) -> None:
    start = babble(2, 200)
    first = await bench.check_counted(say(start + babble(3, 40)))
    assert n_cached(first) == 0
    second = await bench.check_counted(say(start + babble(5, 40)))
    if bench.can_go_back:
        assert n_cached(second) >= 200
    # Where a state cannot be cut, the second has left a checkpoint where the two part.
    assert n_cached(await bench.check_counted(say(start + babble(6, 40)))) >= 200


async def test_prompt_that_is_a_part_of_the_one_before(bench: Bench) -> None:
    text = babble(5, 300)
    for n_chars in (300, 100, 299, 1, 300):
        await bench.check_counted(say(text[:n_chars]))


async def test_conversation(bench: Bench) -> None:
    messages: Messages = []
    n_before = 0
    for turn in range(5):
        messages += [{"role": "user", "content": babble(10 + turn, 60)}]
        answer = await bench.check_counted(messages)
        if bench.can_go_back:
            assert n_cached(answer) >= n_before
        n_before = n_prompt(answer)
        messages += [{"role": "assistant", "content": str(answer.choices[0].message.content)}]


async def test_conversations_in_turns(bench: Bench) -> None:
    """More conversations than slots, so that each finds its slot taken over by another."""
    talks: list[Messages] = [say(babble(20 + talk, 80), system=babble(19, 100)) for talk in range(6)]
    for turn in range(3):
        for talk, messages in enumerate(talks):
            answer = await bench.check_counted(messages)
            if turn > 0:
                # What a slot was taken over from comes back from main memory.
                assert n_cached(answer) > 100
            text = str(answer.choices[0].message.content)
            messages += [
                {"role": "assistant", "content": text},
                {"role": "user", "content": babble(100 * turn + talk, 30)},
            ]


async def test_without_main_memory_a_prefix_is_gone_with_its_slot(tiny: tuple[str, Path]) -> None:
    kind, path = tiny
    async with (
        AsyncLlama(path, n_parallel=1, prefix_cache_bytes=0, **EXACT) as client,
        AsyncLlama(path, n_parallel=1, **EXACT) as alone,
    ):
        bench = Bench(client, alone, kind, TINY_TOLERANCE)
        for seed in (1, 2, 1, 2):
            assert n_cached(await bench.check_counted(say(babble(seed, 200)))) < 64
        assert stats(client)["n_stored_bytes"] == 0


async def test_main_memory_is_bounded(tiny: tuple[str, Path]) -> None:
    kind, path = tiny
    async with (
        AsyncLlama(path, n_parallel=1, **EXACT) as client,
        AsyncLlama(path, n_parallel=1, **EXACT) as alone,
    ):
        bench = Bench(client, alone, kind, TINY_TOLERANCE)
        for seed in (1, 2, 3):
            await bench.check_counted(say(babble(seed, 200)))
        budget = int(stats(client)["n_stored_bytes"])
        assert budget > 0
    async with AsyncLlama(path, n_parallel=1, prefix_cache_bytes=budget, **EXACT) as client:
        for seed in range(10):
            await ask(client, say(babble(seed, 200)))
            assert stats(client)["n_stored_bytes"] <= budget
        # The newest are there, the oldest had to go.
        assert n_cached(await ask(client, say(babble(8, 200)))) > 100
        assert n_cached(await ask(client, say(babble(0, 200)))) < 64


async def test_sliding_window_passed_by_the_answer(bench: Bench) -> None:
    """A long answer pushes the prompt out of the window: going back to it needs what is no longer there."""
    messages = say(babble(30, 100))
    await bench.check_counted(messages, n_tokens=700)
    await bench.check_counted(messages)
    await bench.check_counted(say(babble(30, 50) + "x"))


async def test_without_cache_nothing_is_read_or_left(bench: Bench) -> None:
    messages = say(babble(31, 120))
    await bench.check_counted(messages, extra_body={"cache_prompt": False})
    assert n_cached(await bench.check_counted(messages)) == 0
    assert n_cached(await bench.check_counted(messages, extra_body={"cache_prompt": False})) == 0


# -- at the same time --------------------------------------------------------------------------------------------------


async def test_prefix_shared_by_many_at_once(bench: Bench) -> None:
    system = babble(40, 400)
    answers = await ask_together(bench, [say(babble(41 + index, 20), system=system) for index in range(10)])
    # All but the first had somebody to take the prefix from, be it one that was still prefilling.
    n_computed = sum(n_prompt(answer) - n_cached(answer) for answer in answers)
    # With one slot the second comes too late to ask for a checkpoint, and leaves it himself.
    n_whole = 1 if bench.can_go_back or stats(bench.client)["n_parallel"] > 1 else 2
    assert n_computed < (n_whole + 1) * n_prompt(answers[0])


async def test_prefix_of_one_that_is_still_prefilling(bench: Bench) -> None:
    start = babble(50, 600)
    before = stats(bench.client)["n_prefilled"]
    answers = await ask_together(bench, [say(start + ending) for ending in ("one", "two")])
    n_computed = stats(bench.client)["n_prefilled"] - before
    # One slot alone: there is nobody to ask for a checkpoint.
    if bench.can_go_back or stats(bench.client)["n_parallel"] > 1:
        assert n_computed < 1.5 * n_prompt(answers[0])
        assert sorted(n_cached(answer) > 0 for answer in answers) == [False, True]


async def test_prefix_of_one_that_goes_on_decoding(bench: Bench) -> None:
    messages = say(babble(60, 300))
    got: list[ChatCompletion] = []
    first_token = anyio.Event()

    async def long() -> None:
        # Not a stream of its own, so that it can be compared whole.
        got.append(await ask(bench.client, messages, n_tokens=300))

    async def watch() -> None:
        await until(lambda: stats(bench.client)["n_generated"] > 0)
        first_token.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(long)
        tasks.start_soon(watch)
        await first_token.wait()
        for ending in "abc":
            other = await bench.check(say(babble(60, 300) + ending))
            if bench.can_share:
                assert n_cached(other) >= 300
            same = await bench.check(messages)
            if bench.can_share:
                assert n_cached(same) == n_prompt(same) - 1
    await bench.compare(got[0], messages)


@pytest.mark.parametrize("n", [2, 4, 6])
async def test_choices_of_one_request_are_alike(bench: Bench, n: int) -> None:
    messages = say(babble(70, 250))
    first = await bench.check(messages, n=n)
    assert len(first.choices) == n
    if bench.can_go_back:
        assert n_cached(first) == 0
        assert n_cached(await bench.check(messages, n=n)) == n_prompt(first) - 1
    await bench.check(messages)


# -- after what was broken off -----------------------------------------------------------------------------------------


async def _break_off(bench: Bench, messages: Messages, reached: Callable[[dict[str, int | float]], bool]) -> None:
    before = stats(bench.client)

    def progressed() -> bool:
        now = stats(bench.client)
        return reached({name: now[name] - before[name] for name in now})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: ask(bench.client, messages, n_tokens=300))
        await until(progressed)
        tasks.cancel_scope.cancel()
    await until(lambda: is_idle(bench.client))


async def test_after_cancelled_prefill(bench: Bench) -> None:
    messages = say(babble(80, 600))
    await _break_off(bench, messages, lambda gained: gained["n_prefilled"] >= 1)
    await bench.check_counted(messages)
    await _break_off(bench, say(babble(81, 500)), lambda gained: gained["n_prefilled"] >= 100)
    await bench.check_counted(say(babble(81, 500) + "and on"))
    await bench.check_counted(messages)


async def test_after_cancelled_decoding(bench: Bench) -> None:
    messages = say(babble(82, 200))
    for n_generated in (1, 5, 50):
        await _break_off(bench, messages, lambda gained, n=n_generated: gained["n_generated"] >= n)  # type: ignore[misc]
        await bench.check_counted(messages)
        await bench.check_counted(say(babble(82, 200) + "and on"))


async def test_cancelled_while_another_waits_for_its_prefill(bench: Bench) -> None:
    start = babble(83, 600)
    answer: list[ChatCompletion] = []

    async def follow() -> None:
        answer.append(await ask(bench.client, say(start + "two")))

    async with anyio.create_task_group() as tasks:
        leading = anyio.CancelScope()

        async def lead() -> None:
            with leading:
                await ask(bench.client, say(start + "one"), n_tokens=300)

        tasks.start_soon(lead)
        tasks.start_soon(follow)
        await until(lambda: stats(bench.client)["n_prefilled"] > 0)
        leading.cancel()
    await bench.compare(answer[0], say(start + "two"))


# -- all of it ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
async def test_random_mixture(bench: Bench, seed: int) -> None:
    """Prompts from a tree of shared beginnings, a few at a time, some broken off."""
    choose = random.Random(seed)
    branches = [babble(200 + branch, 90) for branch in range(3)]

    def prompt() -> Messages:
        text = ""
        for _ in range(choose.randint(1, 4)):
            text += choose.choice(branches)[: choose.choice((30, 60, 90))]
        return say(text)

    async def one(messages: Messages, n_tokens: int, give_up: bool) -> None:
        if give_up:
            with anyio.move_on_after(choose.random() * 0.01):
                await ask(bench.client, messages, n_tokens=100)
            return
        answer = await ask(bench.client, messages, n_tokens=n_tokens, n=choose.choice((1, 1, 1, 2)))
        await bench.compare(answer, messages)

    for _ in range(12):
        async with anyio.create_task_group() as tasks:
            for _ in range(choose.randint(1, 6)):
                tasks.start_soon(one, prompt(), choose.choice((1, 8, 20)), choose.random() < 0.2)
    await until(lambda: is_idle(bench.client))


# -- a real model ------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["partitioned", "unified"])
async def smollm2(request: pytest.FixtureRequest, model_path: Path) -> AsyncIterator[Bench]:
    async with (
        AsyncLlama(model_path, n_ctx=1024, **_LAYOUTS[request.param]) as client,
        AsyncLlama(model_path, n_ctx=1024, n_parallel=1) as alone,
    ):
        yield Bench(client, alone, "llama", SMOLLM2_TOLERANCE)


_SYSTEM = "You are a patient teacher. You answer in plain words and never make things up. " * 6


async def test_real_conversation(smollm2: Bench) -> None:
    messages = say("Name the planets of the solar system.", system=_SYSTEM)
    n_before = 0
    for question in ("Which of them is the largest?",):
        answer = await smollm2.check_counted(messages, n_tokens=12)
        assert n_cached(answer) >= n_before
        n_before = n_prompt(answer)
        text = str(answer.choices[0].message.content)
        messages += [{"role": "assistant", "content": text}, {"role": "user", "content": question}]
    answer = await smollm2.check_counted(messages, n_tokens=12)
    assert n_cached(answer) >= n_before


async def test_real_shared_prefix(smollm2: Bench) -> None:
    questions = ["What is water?", "What is fire?", "What is a bird?", "What is snow?"]
    answers = await ask_together(smollm2, [say(question, system=_SYSTEM) for question in questions], n_tokens=16)
    n_computed = sum(n_prompt(answer) - n_cached(answer) for answer in answers)
    assert n_computed < 2 * n_prompt(answers[0])
