"""What a schema, attached tools and the reading of an answer cost a token, beside free text of the same length.

    python benchmarks/structured.py [--streams 16] [--decode 192] [--rounds 3] [--threads N] [--only schema,answers]

"schema": `--streams` answers under a schema of 20 properties, and as many free ones that get the same prompts and stop
after the same numbers of tokens, take turns; at temperature 0 and with a request's default sampling. Printed are tokens
per second from the first request to the last end, and what sampling (with grammar and text building) took per token,
from the engine's own clock. The floor is upstream's GBNF mask alone, over the whole vocabulary, within a string and at
a property's name: what one mask a token would cost.

"answers": long answers of a random model of 0.2 million weights, whose steps leave little else to measure: free text
with tools attached (whose grammar waits for its trigger), with each kind of trigger that upstream's templates have;
text with nothing attached; one call whose arguments do not end; and, to compare with, a text that nothing reads. In
each round one long answer takes turns with several short ones. Compared is what sampling and reading took per token:
from the 50th to the 250th, the median of the short answers, with the last thousand before the `--long`th; and for whole
answers, the last reading of everything included, 100 tokens with `--long`. The clock is read every half millisecond,
not when text comes, which says little where little comes. The bar is that the later costs at most twice the earlier, in
the median of the rounds.

Medians and the spread (min..max). Needs numpy and gguf (`pip install gguf`), and the pinned source for its templates.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import describe, engine_of

from llama_async import AsyncLlama, AsyncStream
from llama_async._default_model import default_model_path
from llama_async.lowlevel import ffi, lib

if TYPE_CHECKING:
    from llama_async.types.chat import ChatCompletion

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "llama.cpp")]

TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
PROPERTIES: dict[str, Any] = {
    **dict.fromkeys(["name", "street", "city", "country", "occupation", "employer", "hobby", "motto"], TEXT),
    **dict.fromkeys(["age", "height_cm", "weight_kg", "children", "salary"], NUMBER),
    **dict.fromkeys(["married", "smoker", "employed"], FLAG),
    "colour": {"enum": ["red", "green", "blue"]},
    "born": {"type": "string", "format": "date"},
    "languages": {"type": "array", "items": TEXT, "maxItems": 3},
    "pet": {"type": "object", "properties": {"kind": TEXT, "age": NUMBER}, "required": ["kind", "age"]},
}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": list(PROPERTIES), "additionalProperties": False}
AS_JSON: Any = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}
NAMES = "Ada Ben Chloe David Eva Finn Grace Hugo Ida Jon Kim Leo Mia Nils Ola Pia".split()
TOOL: Any = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {"zone": TEXT}}},
}
# Templates of upstream, one for each kind of trigger.
FAMILIES = {
    "a word": "Qwen-Qwen3-0.6B",
    "patterns": "openai-gpt-oss-120b",
    "a look ahead": "meetkai-functionary-medium-v3.2",
}


class Table:
    """Rows of medians and spreads, printed as they come."""

    def __init__(self) -> None:
        self.rows: dict[str, list[float]] = {}

    def add(self, name: str, unit: str, values: list[float]) -> float:
        """Print a row and return its median."""
        self.rows[f"{name} [{unit}]"] = values
        middle = statistics.median(values)
        print(f"{name:58} {unit:9} {middle:10.3f} ({min(values):.3f}..{max(values):.3f})", flush=True)
        return middle


# -- free text and a schema --------------------------------------------------------------------------------------------


async def answers(client: AsyncLlama, lengths: list[int], *, schema: bool, hot: bool) -> tuple[float, float, list[int]]:
    """Return seconds, seconds of sampling, and the tokens of each answer; all run at once."""
    engine = await engine_of(client)
    before = engine.stats()
    start = time.perf_counter()

    async def one(index: int) -> ChatCompletion:
        extra: dict[str, Any] = {"cache_prompt": False, **({} if schema else {"ignore_eos": True})}
        return await client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": f"Invent a person called {NAMES[index % 16]} {index}, as JSON."}],
            max_tokens=lengths[index],
            extra_body=extra,
            **({"response_format": AS_JSON} if schema else {}),
            **({"seed": index} if hot else {"temperature": 0}),
        )

    completions = await asyncio.gather(*(one(index) for index in range(len(lengths))))
    seconds = time.perf_counter() - start
    counted = [completion.usage.completion_tokens for completion in completions if completion.usage]
    return seconds, engine.stats()["sample_s"] - before["sample_s"], counted


async def schema_cost(model: Path, args: argparse.Namespace, table: Table) -> None:
    """Compare answers under the schema with free ones of the same lengths."""
    async with AsyncLlama(model, n_parallel=args.streams, n_ctx=512, n_threads=args.threads) as client:
        await engine_of(client)  # which takes upstream's log
        in_string, at_name = mask_ms(model, args.rounds)
        floor_ms = table.add("upstream's mask in a string", "ms", in_string)
        table.add("upstream's mask at a name", "ms", at_name)
        for hot in (False, True):
            label = "default sampling" if hot else "greedy"
            walls: dict[bool, list[float]] = {False: [], True: []}
            samples: dict[bool, list[float]] = {False: [], True: []}
            cap = [args.decode] * args.streams
            first, _, lengths = await answers(client, cap, schema=True, hot=hot)  # the first of its schema
            await answers(client, lengths, schema=False, hot=hot)
            for _ in range(args.rounds):
                seconds, sample_s, lengths = await answers(client, cap, schema=True, hot=hot)
                walls[True].append(sum(lengths) / seconds)
                samples[True].append(1e6 * sample_s / sum(lengths))
                seconds, sample_s, counted = await answers(client, lengths, schema=False, hot=hot)
                assert counted == lengths, "a free answer ended early"
                walls[False].append(sum(lengths) / seconds)
                samples[False].append(1e6 * sample_s / sum(lengths))
            table.add(f"{label}, free text", "tok/s", walls[False])
            table.add(f"{label}, schema", "tok/s", walls[True])
            table.add(f"{label}, first answers of a new schema", "tok/s", [sum(lengths) / first])
            table.add(f"{label}, sampling of free text", "us/token", samples[False])
            table.add(f"{label}, sampling under the schema", "us/token", samples[True])
            pairs = list(zip(walls[True], walls[False], strict=True))
            table.add(f"{label}, schema beside free text (bar: 0.9)", "ratio", [ours / free for ours, free in pairs])
            with_masks = [1 / (1 / free + floor_ms / 1e3) for _, free in pairs]
            table.add(
                f"{label}, schema beside free text with one mask a token",
                "ratio",
                [ours / floor for (ours, _), floor in zip(pairs, with_masks, strict=True)],
            )


def mask_ms(model: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Return what upstream's grammar sampler takes for all tokens, in a string's middle and at a property's name."""
    lib.llama_backend_init()
    params = lib.llama_model_default_params()
    params.vocab_only = True
    weights = lib.llama_model_load_from_file(str(model).encode(), params)
    vocab = lib.llama_model_get_vocab(weights)
    n_vocab = lib.llama_vocab_n_tokens(vocab)
    grammar = rb"""
root ::= "{" "\"name\"" ":" string "}"
string ::= "\"" char* "\""
char ::= [^"\\\x7F\x00-\x1F] | [\\] (["\\bfnrt] | "u" [0-9a-fA-F]{4})
"""
    data = ffi.new("llama_token_data[]", n_vocab)
    array = ffi.new("llama_token_data_array *")

    def timed(sampler: Any) -> Iterator[float]:
        for _ in range(max(5, rounds)):
            for token in range(n_vocab):
                data[token].id, data[token].logit = token, 0
            array.data, array.size, array.selected, array.sorted = data, n_vocab, -1, False
            start = time.perf_counter()
            lib.llama_sampler_apply(sampler, array)
            yield 1e3 * (time.perf_counter() - start)

    sampler = lib.llama_sampler_init_grammar(vocab, grammar, b"root")
    times: list[list[float]] = []
    for text in (b'{"', b'name":"a'):
        tokens = ffi.new("llama_token[]", 32)
        for token in tokens[0 : lib.llama_tokenize(vocab, text, len(text), tokens, 32, False, False)]:
            lib.llama_sampler_accept(sampler, token)
        times.append(list(timed(sampler)))
    lib.llama_sampler_free(sampler)
    lib.llama_model_free(weights)
    return times[1], times[0]


# -- long answers ------------------------------------------------------------------------------------------------------


DIGIT = {"type": "integer", "minimum": 0, "maximum": 9}
CALL: Any = {
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "put",
                "strict": True,
                "parameters": {
                    "type": "object",
                    "properties": {"digits": {"type": "array", "items": DIGIT}},
                    "required": ["digits"],
                    "additionalProperties": False,
                },
            },
        }
    ],
    "tool_choice": "required",
    "logit_bias": {str(3 + ord("]")): -100},  # by the vocabulary of tests/tools/tiny_models.py
}
# The last is no chat: nothing is read of it, so that what a token costs later is the machine's (the step between two
# tokens reads a longer cache, and leaves less of anything else in the processor's).
CASES: list[tuple[str, str, dict[str, Any] | None]] = [
    *((f"tools, trigger is {kind}", family, {"tools": [TOOL]}) for kind, family in FAMILIES.items()),
    ("no tools, thinking is read", FAMILIES["a word"], {}),
    ("arguments of a call", FAMILIES["a word"], CALL),
    ("a text that nothing reads", FAMILIES["a word"], None),
]


async def answer_cost(args: argparse.Namespace, table: Table) -> None:
    """Compare late tokens of a long answer with early ones."""
    import obtain
    from tools.tiny_models import tiny_llama

    source = obtain.obtain()
    with tempfile.TemporaryDirectory() as directory:
        path = tiny_llama(Path(directory) / "tiny.gguf", n_ctx_train=2 * args.long)
        for label, family, asked in CASES:
            template = (source / "models" / "templates" / f"{family}.jinja").read_text(encoding="utf-8")
            async with AsyncLlama(
                path, n_parallel=1, n_ctx=args.long + 2048, n_threads=1, chat_template=template
            ) as client:
                await long_answer(client, 300, asked)
                early, late, short, long = [], [], [], []
                for _ in range(args.rounds):
                    firsts = [await long_answer(client, 300, asked) for _ in range(7)]
                    shorts = [await long_answer(client, 100, asked) for _ in range(7)]
                    whole = await long_answer(client, args.long, asked)
                    early.append(statistics.median(first.us_per_token(50, 250) for first in firsts))
                    short.append(statistics.median(one.us_per_token(0, 100) for one in shorts))
                    late.append(whole.us_per_token(args.long - 1050, args.long - 50))
                    long.append(whole.us_per_token(0, args.long))
                table.add(f"{label}: tokens 50 to 250", "us/token", early)
                table.add(f"{label}: last 1,000 of {args.long}", "us/token", late)
                table.add(f"{label}: all of 100", "us/token", short)
                table.add(f"{label}: all of {args.long}", "us/token", long)
                ratios = [ours / first for ours, first in zip(late, early, strict=True)]
                table.add(f"{label}: late beside early (bar: 2)", "ratio", ratios)
                ratios = [ours / first for ours, first in zip(long, short, strict=True)]
                table.add(f"{label}: long beside short (bar: 2)", "ratio", ratios)


class Watched:
    """What an answer had cost after how many tokens, looked at often."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, float]] = []  # tokens, seconds of sampling and reading

    def us_per_token(self, low: int, high: int) -> float:
        """Return microseconds of sampling and reading per token between two of them."""
        return 1e6 * (self._at(high) - self._at(low)) / (high - low)

    def _at(self, n: int) -> float:
        """Return the seconds up to a token, on the straight line between the looks before and after it."""
        behind = next(index for index, (count, _) in enumerate(self.seen) if count >= n)
        (count, seconds), (before, seconds_before) = self.seen[behind], self.seen[max(behind - 1, 0)]
        if count == before:
            return seconds
        return seconds_before + (seconds - seconds_before) * (n - before) / (count - before)


async def long_answer(client: AsyncLlama, n: int, asked: dict[str, Any] | None) -> Watched:
    """Stream an answer of so many tokens; with nothing asked, a text continued."""
    engine = await engine_of(client)
    watched = Watched()
    begin = engine.stats()

    def look() -> None:
        now = engine.stats()
        watched.seen.append((int(now["n_generated"] - begin["n_generated"]), now["sample_s"] - begin["sample_s"]))

    async def look_often() -> None:
        while True:
            look()
            await asyncio.sleep(0.0005)

    looking = asyncio.create_task(look_often())
    common: dict[str, Any] = {
        "model": "default",
        "stream": True,
        "max_tokens": n,
        "temperature": 0,
        "extra_body": {"cache_prompt": False, "ignore_eos": True},
    }
    stream: AsyncStream[Any]
    if asked is None:
        stream = await client.completions.create(prompt="Go on.", **common)
    else:
        messages = [{"role": "user", "content": "Go on."}]
        stream = await client.chat.completions.create(messages=messages, **common, **asked)
    async for _ in stream:
        pass
    looking.cancel()
    look()
    assert watched.seen[-1][0] == n, "the answer ended early"
    return watched


# -- all of it ---------------------------------------------------------------------------------------------------------


async def measure(args: argparse.Namespace, model: Path, table: Table) -> None:
    """Run what was asked for."""
    if "schema" in args.only:
        await schema_cost(model, args, table)
    if "answers" in args.only:
        await answer_cost(args, table)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--streams", default=16, type=int)
    parser.add_argument("--decode", default=192, type=int)
    parser.add_argument("--long", default=8000, type=int)
    parser.add_argument("--rounds", default=3, type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--only", default="schema,answers", type=lambda text: text.split(","))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model = args.model or default_model_path()
    facts = describe(model)
    for name, fact in facts.items():
        print(f"{name}: {json.dumps(fact) if isinstance(fact, dict) else fact}")
    table = Table()
    asyncio.run(measure(args, model, table))
    if args.json:
        args.json.write_text(json.dumps({"facts": facts, "rows": table.rows}, indent=1))


if __name__ == "__main__":
    main()
