"""The workloads: what is asked, at what times, and which figures are read from when the answers' tokens arrived.

Every engine runs this same code in its own process; an adapter gives it `ask`.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import prompts
from .figures import percentile

Messages = prompts.Messages


@dataclass(frozen=True)
class Shape:
    """How many requests decode at once, and the longest context of one."""

    n_parallel: int = 16
    n_ctx: int = 2048


@dataclass(frozen=True)
class Size:
    """How much of each workload is run, in tokens where nothing else is said."""

    single: int = 256
    many: int = 128
    shared: int = 1240  # of a system prompt
    sharing: int = 32
    n_turns: int = 8
    turn: int = 48
    long: int = 2950  # of the prompt that arrives late
    before_long: int = 64  # that each stream has had when it arrives
    n_short: int = 64  # requests
    short: int = 4
    n_first: int = 100  # requests one after another


SIZES = {
    "full": Size(),
    "quick": Size(
        single=96,
        many=48,
        shared=600,
        sharing=12,
        n_turns=5,
        turn=24,
        long=1000,
        before_long=24,
        n_short=32,
        n_first=40,
    ),
    "tiny": Size(12, 6, 60, 4, 3, 6, 100, 4, 8, 2, 3),
}


@dataclass
class Answer:
    """One answer, as its reader saw it. Times are of `time.perf_counter`."""

    started: float
    times: list[float] = field(default_factory=list)  # when each piece of text arrived
    ended: float = 0.0
    text: str = ""
    n_prompt: int = 0
    n_cached: int | None = None  # unknown to some
    n_generated: int = 0

    @property
    def first_s(self) -> float:
        return self.times[0] - self.started


Enough = Callable[[], bool]


class Engine(Protocol):
    """What an adapter offers. It is warm, and holds no prefix of any prompt but the template's."""

    async def ask(self, messages: Messages, n_tokens: int, enough: Enough | None = None) -> Answer:
        """Stream a greedy answer of `n_tokens`, or break it off at the first piece at which `enough` is true."""


@dataclass
class Outcome:
    """What one run of a workload gave."""

    figures: dict[str, float]
    answers: list[Answer]


def while_all(answers: Sequence[Answer]) -> tuple[float, float]:
    """Return how many tokens came while every answer was being decoded, and in how many seconds.

    From the last one's first token to the first one's last. A piece may hold several tokens, so pieces are weighed by
    the tokens that usage vouches for.
    """
    begin = max(answer.times[0] for answer in answers)
    end = min(answer.times[-1] for answer in answers)
    if end <= begin:
        raise ValueError("the answers are too short to overlap")
    n_pieces = sum(sum(begin < at <= end for at in answer.times) for answer in answers)
    n_all = sum(len(answer.times) for answer in answers)
    return n_pieces * sum(answer.n_generated for answer in answers) / n_all, end - begin


def gaps(answers: Sequence[Answer], begin: float, end: float) -> list[float]:
    """Return the seconds between two pieces of an answer, of all pairs that overlap with [begin, end]."""
    pairs = (pair for answer in answers for pair in zip(answer.times, answer.times[1:], strict=False))
    return [after - before for before, after in pairs if after > begin and before < end]


def overall(answers: Sequence[Answer]) -> tuple[float, float]:
    """Return the tokens of all answers, and the seconds from the first request to the last end."""
    seconds = max(answer.ended for answer in answers) - min(answer.started for answer in answers)
    return sum(answer.n_generated for answer in answers), seconds


def rates(answers: Sequence[Answer]) -> dict[str, float]:
    """Return tokens per second, overall and, if there was such a time, while every answer was being decoded."""
    n_tokens, seconds = overall(answers)
    figures = {"tok/s": n_tokens / seconds}
    try:
        n_decoded, decode_s = while_all(answers)
    except ValueError:
        return figures
    return figures | {"decode tok/s": n_decoded / decode_s}


async def single(engine: Engine, size: Size) -> Outcome:
    answer = await engine.ask(prompts.own(0), size.single)
    return Outcome(rates([answer]) | {"first token ms": 1e3 * answer.first_s}, [answer])


async def first(engines: Mapping[str, Engine], size: Size) -> dict[str, list[float]]:
    """Ask engines in turn for the first token of a prompt that each has in its cache; return the seconds of each.

    In turn, since what is sought is less than a machine's pace changes by from one run to the next.
    """
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for index in range(-1, size.n_first):
        for name, engine in engines.items():
            answer = await engine.ask(prompts.own(0), 1)
            if index >= 0:
                seconds[name].append(answer.first_s)
    return seconds


async def many16(engine: Engine, size: Size) -> Outcome:
    answers = await asyncio.gather(*(engine.ask(prompts.own(index), size.many) for index in range(16)))
    return Outcome(rates(answers), list(answers))


async def prefix16(engine: Engine, size: Size) -> Outcome:
    requests = [prompts.sharing(index, size.shared) for index in range(16)]
    answers = await asyncio.gather(*(engine.ask(messages, size.sharing) for messages in requests))
    begin = min(answer.started for answer in answers)
    last_first_s = max(answer.times[0] for answer in answers) - begin
    return Outcome({"s": overall(answers)[1], "last first token s": last_first_s}, list(answers))


async def turns(engine: Engine, size: Size) -> Outcome:
    messages: Messages = []
    answers = []
    for index in range(size.n_turns):
        messages = [*messages, {"role": "user", "content": prompts.turn(index)}]
        answers.append(await engine.ask(messages, size.turn))
        messages = [*messages, {"role": "assistant", "content": answers[-1].text}]
    n_tokens, seconds = overall(answers)
    first_s = statistics.median(answer.first_s for answer in answers[1:])
    return Outcome({"tok/s": n_tokens / seconds, "first token ms": 1e3 * first_s}, answers)


N_HOL = 3072  # tokens of a stream that is broken off before


async def hol(engine: Engine, size: Size) -> Outcome:
    """Let a long prompt arrive among seven streams, which end when its first token is there."""
    n_streams = 7
    alone = await engine.ask(prompts.long(0, size.long), 1)
    is_over = False
    n_pieces = [0] * n_streams
    all_decode = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stream(index: int) -> asyncio.Future[Answer]:
        def enough() -> bool:
            n_pieces[index] += 1
            if n_pieces[index] == size.before_long and min(n_pieces) >= size.before_long:
                loop.call_soon_threadsafe(all_decode.set)
            return is_over

        return asyncio.ensure_future(engine.ask(prompts.own(index), N_HOL, enough))

    streams = [stream(index) for index in range(n_streams)]
    ready = asyncio.ensure_future(all_decode.wait())
    await asyncio.wait([ready, *streams], return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        await asyncio.gather(*streams)  # raises what went wrong
        raise RuntimeError("a stream ended before the long prompt arrived")
    late = await engine.ask(prompts.long(1, size.long), 1)
    is_over = True
    if any(answer.done() for answer in streams):
        raise RuntimeError(f"a stream had its {N_HOL} tokens before the long prompt's first")
    answers = await asyncio.gather(*streams)
    begin = max(answer.times[0] for answer in answers)
    first = late.times[0]
    without = gaps(answers, begin, late.started)
    beside = gaps(answers, late.started, first)
    figures = {
        "gap p99 ms": 1e3 * percentile(beside, 99),
        "gap max ms": 1e3 * max(beside),
        "gap p50 ms": 1e3 * percentile(beside, 50),
        "gap p50 without it ms": 1e3 * percentile(without, 50),
        "its first token s": late.first_s,
        "its first token alone s": alone.first_s,
    }
    return Outcome(figures, [alone, *answers, late])


async def short64(engine: Engine, size: Size) -> Outcome:
    answers = await asyncio.gather(*(engine.ask(prompts.short(index), size.short) for index in range(size.n_short)))
    return Outcome({"s": overall(answers)[1]}, list(answers))


async def memory(engine: Engine, size: Size) -> Outcome:
    """Touch what a loaded engine touches; the worker reads what is resident afterwards."""
    answers = await asyncio.gather(*(engine.ask(prompts.own(index), min(32, size.many)) for index in range(16)))
    return Outcome({}, list(answers))


@dataclass(frozen=True)
class Workload:
    """One workload, and what of it engines are compared by."""

    run: Callable[[Any, Size], Awaitable[Outcome]]
    title: str
    headline: str  # the figure that peers are compared by
    ceiling: str  # the figure by which the fastest bare loop is chosen
    shape: Shape = Shape()
    needs_streams: bool = False  # means nothing to an engine that serves one request at a time


def more_is_better(figure: str) -> bool:
    return figure.endswith("tok/s")


WORKLOADS = {
    "single": Workload(single, "one stream", "tok/s", "tok/s"),
    "many16": Workload(many16, "16 streams, own prompts", "tok/s", "tok/s"),
    "prefix16": Workload(prefix16, "16 streams, one long system prompt, cold", "s", "last first token s"),
    "turns": Workload(turns, "a conversation, turn by turn", "tok/s", "first token ms"),
    "hol": Workload(
        hol,
        "7 streams, a long prompt arrives",
        "gap p99 ms",
        "its first token alone s",
        Shape(8, 4096),
        needs_streams=True,
    ),
    "short64": Workload(short64, "64 short requests at once", "s", "s"),
    "memory": Workload(memory, "resident, 16 slots of 2,048 tokens", "MB", "MB", needs_streams=True),
}
