"""Thousands of mixed requests at once, and whether every answer was the right one.

    python benchmarks/soak.py [--requests 10000] [--clients 24] [--layout partitioned,shared] [--seed 1] [--json FILE]

Clients ask one after another, for answers of all lengths: whole and streamed, greedy and sampled, several choices,
schemas, conversations that go on, common prefixes, priorities, stop strings, mistakes, deadlines that pass; and they
break off at random points, by cancelling and by leaving a stream. Half of the requests meet an engine whose KV cache is
partitioned, half one whose cache is shared and too small for all (`n_kv`), which has to preempt.

Each greedy answer is then computed alone by teacher forcing: every token has to be the most likely one within a margin,
which is measured in the same run (harness/forcing.py); where no log probabilities told the tokens, it is the cut of the
text that misses by the least. At most half may stay unjudged. As a check of the check, answers are judged as
if they had been given to the next prompt. Answers under a schema have to satisfy it. At the end no request may be left,
and resident memory must not have grown by more than 24 MiB since half of the requests.

Exits with 1 if anything of this fails. `--set NAME=VALUE` passes options to the client. Needs numpy and jsonschema.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
from bench import engine_of
from harness.figures import describe, percentile, print_facts
from harness.forcing import Judge
from harness.prompts import TOPICS, WORDS, passage

from llama_async import APITimeoutError, AsyncLlama, BadRequestError
from llama_async._default_model import default_model_path

N_CTX = 1024
N_PARALLEL = 8
LENGTHS = (1, 2, 4, 8, 8, 16, 32)  # of answers that are judged, in tokens
LAYOUTS: dict[str, dict[str, Any]] = {
    "partitioned": {},
    # Eight answers take up to 8,192 cells.
    "shared": {"kv_unified": True, "n_kv": 1536},
}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "maxItems": 3},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
MAX_GROWTH_MIB = 24

Messages = list[dict[str, str]]


@dataclass
class Greedy:
    """What was asked, and what came: tokens where log probabilities told them, else text."""

    messages: Messages
    pieces: list[bytes] | None
    text: str
    has_ended: bool
    ignores_ends: bool


@dataclass
class Soak:
    """Asks, and keeps what has to be judged."""

    client: AsyncLlama
    choose: random.Random
    asked: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    greedy: list[Greedy] = field(default_factory=list)
    conversations: list[Messages] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    # -- what is asked

    def messages(self) -> Messages:
        choose = self.choose
        kind = choose.random()
        words = " ".join(choose.choice(WORDS) for _ in range(choose.choice((2, 4, 8, 20))))
        question = {"role": "user", "content": f"{words.capitalize()}: {choose.choice(TOPICS)}?"}
        if kind < 0.3:
            system = passage(choose.randrange(6), choose.choice((40, 150)))
            return [{"role": "system", "content": system}, question]
        if kind < 0.55 and self.conversations:
            return [*choose.choice(self.conversations), question]
        if kind < 0.58:
            return [{"role": "user", "content": passage(choose.randrange(10**6), choose.choice((300, 500)))}]
        return [question]

    def request(self, **options: Any) -> dict[str, Any]:
        choose = self.choose
        extra_body = {"priority": choose.choice((0, 0, 0, 1, -1)), "ignore_eos": choose.random() < 0.5}
        return {
            "model": "default",
            "messages": self.messages(),
            "max_tokens": choose.choice(LENGTHS),
            "temperature": 0,
            "extra_body": extra_body,
            **options,
        }

    def until_bored(self) -> float:
        """Return seconds that may end before the first step, within an answer, or after it."""
        return self.choose.choice((0.0, 0.001, self.choose.random() ** 2 * 4))

    # -- how it is asked

    async def whole(self) -> None:
        n = self.choose.choice((1, 1, 1, 1, 3))
        request = self.request(n=n, logprobs=self.choose.random() < 0.5)
        answer = await self.client.chat.completions.create(**request)
        assert answer.usage is not None
        if len(answer.choices) != n:
            self.wrong.append(f"{len(answer.choices)} choices instead of {n}")
        for choice in answer.choices:
            entries = choice.logprobs.content if choice.logprobs else None
            self.keep(
                request,
                None if entries is None else [bytes(entry.bytes or ()) for entry in entries],
                choice.message.content or "",
                choice.finish_reason == "stop",
            )

    async def streamed(self) -> None:
        request = self.request(stream=True, logprobs=True)
        pieces: list[bytes] = []
        text, reason = "", None
        # Some leave after as many chunks: what came until then is judged too.
        n_wanted = self.choose.choice((10**6, 10**6, 0, 1, 3, 10))
        async with await self.client.chat.completions.create(**request) as stream:
            async for chunk in stream:
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    entries = choice.logprobs.content if choice.logprobs else None
                    pieces += [bytes(entry.bytes or ()) for entry in entries or ()]
                    reason = choice.finish_reason or reason
                n_wanted -= 1
                if n_wanted < 0:
                    break
        self.keep(request, pieces, text, reason == "stop")
        if reason and len(request["messages"]) < 6 and self.choose.random() < 0.3:
            self.conversations.append([*request["messages"], {"role": "assistant", "content": text}])
            del self.conversations[:-50]

    def keep(self, request: dict[str, Any], pieces: list[bytes] | None, text: str, has_ended: bool) -> None:
        ignores_ends = request["extra_body"]["ignore_eos"]
        self.greedy.append(Greedy(request["messages"], pieces, text, has_ended, ignores_ends))

    async def sampled(self) -> None:
        n = self.choose.choice((1, 1, 2, 4))
        request = self.request(temperature=self.choose.choice((0.7, 1, 1.5)), n=n, stop=["the", "\n\n"])
        answer = await self.client.chat.completions.create(**request)
        if any("the" in (choice.message.content or "") for choice in answer.choices):
            self.wrong.append("a stop string is in the answer")

    async def under_a_schema(self) -> None:
        form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": SCHEMA}}
        request = self.request(response_format=form, max_tokens=120, extra_body={})
        request["temperature"] = self.choose.choice((0, 1))
        answer = await self.client.chat.completions.create(**request)
        [choice] = answer.choices
        if choice.finish_reason != "stop":
            self.ends["schema, cut off"] += 1
            return
        try:
            jsonschema.validate(json.loads(choice.message.content or ""), SCHEMA)
        except (ValueError, jsonschema.ValidationError) as error:
            self.wrong.append(f"not by the schema: {choice.message.content!r}: {error}")

    async def cancelled(self) -> None:
        stream = self.choose.random() < 0.5
        n = self.choose.choice((1, 1, 3))
        request = self.request(max_tokens=200, stream=stream, n=n)

        async def ask() -> None:
            answer = await self.client.chat.completions.create(**request)
            if stream:
                async for _ in answer:
                    pass

        try:
            await asyncio.wait_for(ask(), self.until_bored())
        except asyncio.TimeoutError:
            self.ends["cut short"] += 1

    async def timed_out(self) -> None:
        try:
            await self.client.chat.completions.create(**self.request(max_tokens=60, timeout=0.001 + self.until_bored()))
        except APITimeoutError:
            self.ends["too late"] += 1

    async def mistaken(self) -> None:
        options: dict[str, Any] = self.choose.choice(
            (
                {"max_tokens": 10 * N_CTX},
                {"messages": []},
                {"messages": [{"role": "user", "content": "long " * 2 * N_CTX}]},
                {"logit_bias": {"99999999": 1}},
                {"extra_body": {"grammar": "root ::= nonesuch"}},
                {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "?"}}}},
            )
        )
        try:
            await self.client.chat.completions.create(**self.request(**options))
        except BadRequestError:
            return
        self.wrong.append(f"no error: {str(options)[:80]}")

    # -- the run

    async def run(self, n_requests: int, n_clients: int, progress: Callable[[int], None]) -> None:
        kinds: dict[Callable[[], Awaitable[None]], float] = {
            self.whole: 40,
            self.streamed: 20,
            self.sampled: 12,
            self.under_a_schema: 3,
            self.cancelled: 12,
            self.timed_out: 4,
            self.mistaken: 9,
        }

        async def ask_one_after_another() -> None:
            while self.asked < n_requests:
                self.asked += 1
                progress(self.asked)
                [kind] = self.choose.choices(list(kinds), list(kinds.values()))
                name = getattr(kind, "__name__", "")
                try:
                    await kind()
                except BadRequestError as error:
                    if error.code != "context_length_exceeded":
                        raise
                    name = "too long"
                self.ends[name] += 1

        await asyncio.gather(*(ask_one_after_another() for _ in range(n_clients)))


def resident_mib() -> float:
    with Path("/proc/self/status").open() as status:
        [line] = [line for line in status if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


async def soak(arguments: argparse.Namespace, layout: str, n_requests: int) -> dict[str, Any]:
    """Run requests against one engine; return what was seen."""
    options = {
        "n_ctx": N_CTX,
        "n_parallel": N_PARALLEL,
        # As the judge has it.
        "flash_attention": True,
        # Small, so that it is full long before memory is read first.
        "prefix_cache_bytes": 32 * 2**20,
        "store": None,
        **LAYOUTS[layout],
        **dict(arguments.set),
    }
    memory: list[float] = []
    started = time.perf_counter()

    def progress(asked: int) -> None:
        if asked % max(1, n_requests // 20) == 0:
            memory.append(resident_mib())
            seconds = time.perf_counter() - started
            print(f"{layout}: {asked} of {n_requests}, {seconds:.0f} s, {memory[-1]:.0f} MiB", file=sys.stderr)

    async with AsyncLlama(arguments.model, **options) as client:
        run = Soak(client, random.Random(arguments.seed))
        await run.run(n_requests, arguments.clients, progress)
        gc.collect()
        engine = await engine_of(client)
        deadline = time.monotonic() + 30
        while (left := engine.stats())["n_running"] or left["n_queued"]:
            if time.monotonic() > deadline:
                run.wrong.append(f"{left['n_running']} requests still run, {left['n_queued']} wait")
                break
            await asyncio.sleep(0.01)
        stats = engine.stats()
        if stats["n_ended"] != stats["n_requests"]:
            run.wrong.append(f"{stats['n_requests']} requests began, {stats['n_ended']} ended")
        cases = await tokenized(client, run.greedy)
    growth = memory[-1] - memory[len(memory) // 2] if memory else 0.0
    if growth > MAX_GROWTH_MIB:
        run.wrong.append(f"resident memory grew by {growth:.1f} MiB in the second half")
    return {
        "requests": n_requests,
        "seconds": time.perf_counter() - started,
        "ends": dict(run.ends),
        "preempted": stats["n_preempted"],
        "cached tokens": stats["n_cached"],
        "prefilled tokens": stats["n_prefilled"],
        "resident MiB": memory,
        "wrong": run.wrong,
        "cases": cases,
        "stats": stats,
    }


@dataclass(frozen=True)
class Case:
    """An answer to judge; without pieces its tokens are to be found in the text."""

    prompt: tuple[int, ...]
    pieces: tuple[bytes, ...] | None
    text: bytes
    has_ended: bool
    ignores_ends: bool


async def tokenized(client: AsyncLlama, answers: Sequence[Greedy]) -> list[Case]:
    cases = []
    for answer in answers:
        text = await client.apply_template(answer.messages)  # type: ignore[arg-type]
        prompt = tuple(await client.tokenize(text, add_special=True))
        pieces = None if answer.pieces is None else tuple(answer.pieces)
        cases.append(Case(prompt, pieces, answer.text.encode(), answer.has_ended, answer.ignores_ends))
    return cases


def judge(path: str, cases: Sequence[Case], n_threads: int | None) -> dict[str, Any]:
    """Compute each answer alone; return how many were judged, and by how much the tokens missed."""
    # An answer is judged behind somebody else's prompt too, which may have left less room for its own.
    with Judge(path, N_CTX + max(LENGTHS), n_threads) as judge:
        by_bytes, ends = judge.tokens_by_bytes(), judge.ends()
        known: list[tuple[tuple[int, ...], tuple[int, ...], bool, bool]] = []
        found: dict[Case, tuple[int, ...] | None] = {}
        n_unknown = 0
        for case in cases:
            answer: tuple[int, ...] | None
            if case.pieces is not None:
                # The token that ends an answer has no text; of another one without it is not known which it is.
                is_over = case.has_ended and case.pieces[-1:] == (b"",)
                pieces = case.pieces[:-1] if is_over else case.pieces
                tokens = [by_bytes.get(piece) for piece in pieces]
                answer = None if None in tokens else tuple(token for token in tokens if token is not None)
            elif b"\xef\xbf\xbd" in case.text:
                # Half of a character, whose bytes the text does not tell.
                answer = None
            else:
                if case not in found:
                    end, banned = ends if case.has_ended else (), ends if case.ignores_ends else ()
                    found[case] = judge.spelled(case.prompt, case.text, by_bytes, end, banned)
                answer = found[case]
            if answer is None:
                n_unknown += 1
            elif answer or case.has_ended:
                known.append((case.prompt, answer, case.has_ended, case.ignores_ends))
        unique = list(dict.fromkeys(known))
        short = [(prompt, answer) for prompt, answer, *_ in unique if len(prompt) < 200 and answer]
        margin = judge.margin(short[:: max(1, len(short) // 40)][:40])
        worst: list[float] = []
        n_tokens = 0
        for index, (prompt, answer, has_ended, ignores_ends) in enumerate(unique):
            missed = judge.deficits(prompt, answer, ends if has_ended else (), ends if ignores_ends else ())
            worst.append(float(missed.max()))
            n_tokens += len(missed)
            if index % 500 == 0:
                print(f"judged {index} of {len(unique)}", file=sys.stderr)
        # Long enough to have said something of its own.
        swapped = [
            float(judge.deficits(unique[index - 1][0], answer).max())
            for index, (prompt, answer, *_) in enumerate(unique)
            if len(answer) >= 8 and index % 20 == 0 and unique[index - 1][0] != prompt
        ]
    return {
        "answers": len(known),
        "different answers": len(unique),
        "tokens": n_tokens,
        "not judged": n_unknown,
        "margin": margin,
        "worst": max(worst),
        "99.9th percentile": percentile(worst, 99.9),
        "beyond the margin": sum(one > margin for one in worst),
        "somebody else's, median": statistics.median(swapped) if swapped else None,
        "somebody else's within the margin": sum(one <= margin for one in swapped),
        "somebody else's": len(swapped),
    }


def setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=None)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--layout", default=",".join(LAYOUTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--set", type=setting, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.model = str(arguments.model or default_model_path())
    facts = describe(Path(arguments.model))
    print_facts(facts)
    layouts = arguments.layout.split(",")
    found: dict[str, Any] = {}
    failed = False
    for layout in layouts:
        seen = asyncio.run(soak(arguments, layout, arguments.requests // len(layouts)))
        verdict = judge(arguments.model, seen.pop("cases"), arguments.threads)
        found[layout] = {**seen, "verdict": verdict}
        print(json.dumps({layout: {**found[layout], "wrong": seen["wrong"][:10]}}, indent=1))
        failed |= bool(seen["wrong"] or verdict["beyond the margin"])
        failed |= verdict["not judged"] > verdict["answers"]
        failed |= 10 * verdict["somebody else's within the margin"] > verdict["somebody else's"]
    if arguments.json:
        arguments.json.write_text(json.dumps({"facts": facts, "layouts": found}, indent=1))
    print("failed" if failed else "passed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
